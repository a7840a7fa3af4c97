"""Looking ahead block by block: the backward directions of recurrent layers, and what waits for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, Floats
from ..clocks import Clock
from ..contract import Blocks, Slot
from .base import Operator, Record, Rows, State
from .recurrent import Cell, Gru, Lstm, LstmProjected, Rnn

BACKWARD_CELLS: tuple[type[Cell], ...] = (Lstm, Gru, Rnn, LstmProjected)  # a plan numbers them from 1


class Late(Operator):
    """An operation that answers for several frames together."""

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """There is none: see `advance`."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Backward(Late):
    """The backward direction of a recurrent layer.

    It starts from zeros for each block of the stream, at the end of its lookahead, and runs to the start of the block;
    its answers are those for the frames of the block. At the end of the stream a block or lookahead may be shorter.

    Attributes:
        cell: The layer; its state begins with each block, so its slots are not used.
        blocks: The grid of the stream.
    """

    cell: Cell
    blocks: Blocks

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Nothing that callers see: frames that wait are held."""
        return ()

    def width(self, widths: Sequence[int]) -> int:
        """That of the layer."""
        return self.cell.width(widths)

    def clock(self, clocks: Sequence[Clock]) -> Clock:
        """Blocks of those of its input."""
        return super().clock(clocks).in_blocks()

    def initial(self) -> State:
        """No frame waits."""
        return (np.zeros((0, self.cell.w.codes.shape[1]), np.float32),)

    def advance(self, state: State, rows: Sequence[Rows], *, closing: bool) -> tuple[Rows, State]:
        """The answers of each block that is complete with its lookahead."""
        held, made = np.concatenate([state[0], *(x[None] for x in rows[0])]), []
        while count := self._next_block(len(held), closing=closing):
            made += self._answers(held, count)
            held = held[count:]
        return made, (held,)

    def _next_block(self, held: int, *, closing: bool) -> int:
        """Return the frames of the next block; 0 when it is not complete."""
        frames = self.blocks.frames
        if closing:
            return held if frames is None else min(held, frames)
        return frames if frames is not None and held >= frames + self.blocks.lookahead else 0

    def _answers(self, held: Array, count: int) -> list[Floats]:
        """Return the answers for the first `count` of the frames held."""
        frames = held if self.blocks.frames is None else held[: count + self.blocks.lookahead]
        answers, state = [], self.cell.initial()
        for x in frames[::-1]:
            y, state = self.cell.step(state, x)
            answers.append(y)
        return answers[::-1][:count]

    def record(self) -> Record:
        """That of the layer, with which cell it is."""
        own = self.cell.record()
        return Record(
            own.function, (BACKWARD_CELLS.index(type(self.cell)) + 1,), own.numbers, own.matrices, own.vectors
        )


@dataclass(frozen=True, eq=False)
class Align(Late):
    """Rows of the second input as many as there are of the first, which come later."""

    floats: ClassVar[bool] = False

    def width(self, widths: Sequence[int]) -> int:
        """That of the second input."""
        return widths[self.inputs[1]]

    def initial(self) -> State:
        """No frame waits; each is an array."""
        return ()

    def advance(self, state: State, rows: Sequence[Rows], *, closing: bool) -> tuple[Rows, State]:  # noqa: ARG002
        """The rows whose turn it is."""
        held = (*state, *rows[1])
        count = len(rows[0])
        return held[:count], held[count:]

    def record(self) -> Record:
        """Nothing more than its kind."""
        return Record()


@dataclass(frozen=True, eq=False)
class BlockStart(Late):
    """For every row of a block its first row: of a backward cell the final h.

    Attributes:
        blocks: The grid of the stream, by which the input comes.
    """

    floats: ClassVar[bool] = False

    blocks: Blocks

    def width(self, widths: Sequence[int]) -> int:
        """That of the input."""
        return widths[self.inputs[0]]

    def advance(self, state: State, rows: Sequence[Rows], *, closing: bool) -> tuple[Rows, State]:  # noqa: ARG002
        """The first row of each row's block; rows come by whole blocks."""
        return list(self._starts(rows[0])), state

    def _starts(self, rows: Rows) -> Iterator[Floats]:
        for index in range(len(rows)):
            yield rows[index - index % (self.blocks.frames or len(rows))]

    def record(self) -> Record:
        """Nothing more than its kind."""
        return Record()
