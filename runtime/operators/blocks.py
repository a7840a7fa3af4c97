"""Looking ahead block by block: backward directions of recurrent layers, and values that wait for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, Floats
from ..clocks import Clock
from ..contract import Blocks, Slot
from .base import Frames, Operator, Record, State
from .cells_with_options import record_of_cell
from .recurrent import Cell


class Late(Operator):
    """An operation that answers for several frames together."""

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """Not defined for one frame: see `advance`."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Backward(Late):
    """The backward direction of a recurrent layer.

    For each block of the stream it starts from zeros at the end of the lookahead and runs back to the start of the
    block. It answers for the frames of the block only. At the end of the stream a block or a lookahead may be shorter.

    Attributes:
        cell: The layer. Its state starts again with each block, so its slots are not used.
        blocks: The grid of the stream.
    """

    cell: Cell
    blocks: Blocks

    @property
    def slots(self) -> tuple[Slot, ...]:
        """None: the frames that wait are no state of the contract."""
        return ()

    def width(self, widths: Sequence[int]) -> int:
        """The width of the layer."""
        return self.cell.width(widths)

    def clock(self, clocks: Sequence[Clock]) -> Clock:
        """Blocks of the frames of its input."""
        return super().clock(clocks).in_blocks()

    def initial(self) -> State:
        """No frame waits."""
        return (np.zeros((0, self.cell.w.codes.shape[1]), np.float32),)

    def advance(self, state: State, frames: Sequence[Frames], *, closing: bool) -> tuple[Frames, State]:
        """Answer for each block whose frames and lookahead are complete."""
        held, made = np.concatenate([state[0], *(x[None] for x in frames[0])]), []
        while count := self._next_block(len(held), closing=closing):
            made += self._answers(held, count)
            held = held[count:]
        return made, (held,)

    def _next_block(self, held: int, *, closing: bool) -> int:
        """Return the number of frames of the next block; 0 if it is not complete."""
        frames = self.blocks.frames
        if closing:
            return held if frames is None else min(held, frames)
        return frames if frames is not None and held >= frames + self.blocks.lookahead else 0

    def _answers(self, held: Array, count: int) -> list[Floats]:
        """Return the answers for the first `count` of the waiting frames."""
        read = held if self.blocks.frames is None else held[: count + self.blocks.lookahead]
        answers, state = [], self.cell.initial()
        for x in read[::-1]:
            y, state = self.cell.step(state, x)
            answers.append(y)
        return answers[::-1][:count]

    def record(self) -> Record:
        """The record of the layer, with the number of its cell."""
        return record_of_cell(self.cell)


@dataclass(frozen=True, eq=False)
class Align(Late):
    """The second input, delayed: as many frames of it as the first input has, which comes later."""

    floats: ClassVar[bool] = False

    def width(self, widths: Sequence[int]) -> int:
        """The width of the second input."""
        return widths[self.inputs[1]]

    def initial(self) -> State:
        """No frame waits; later, one array per waiting frame."""
        return ()

    def advance(self, state: State, frames: Sequence[Frames], *, closing: bool) -> tuple[Frames, State]:  # noqa: ARG002
        """Return the oldest waiting frames of the second input, one for each new frame of the first."""
        held = (*state, *frames[1])
        count = len(frames[0])
        return held[:count], held[count:]

    def record(self) -> Record:
        """No fields."""
        return Record()


@dataclass(frozen=True, eq=False)
class BlockStart(Late):
    """For every frame of a block the block's first frame: of a backward cell this is the final h.

    Attributes:
        blocks: The grid of the stream. The input comes in whole blocks.
    """

    floats: ClassVar[bool] = False

    blocks: Blocks

    def width(self, widths: Sequence[int]) -> int:
        """The width of the input."""
        return widths[self.inputs[0]]

    def advance(self, state: State, frames: Sequence[Frames], *, closing: bool) -> tuple[Frames, State]:  # noqa: ARG002
        """For each frame the first frame of its block; frames come in whole blocks."""
        return list(self._starts(frames[0])), state

    def _starts(self, frames: Frames) -> Iterator[Floats]:
        for index in range(len(frames)):
            yield frames[index - index % (self.blocks.frames or len(frames))]

    def record(self) -> Record:
        """No fields."""
        return Record()
