"""Operators that select and join values and compute nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Floats
from .base import Frames, Operator, Record, State


@dataclass(frozen=True, eq=False)
class Last(Operator):
    """The last frame of each push; the result has no time axis."""

    floats: ClassVar[bool] = False

    def width(self, widths: Sequence[int]) -> int:
        """The width of the input."""
        return widths[self.inputs[0]]

    def advance(self, state: State, frames: Sequence[Frames], *, closing: bool) -> tuple[Frames, State]:  # noqa: ARG002
        """The last frame, if there is one."""
        return frames[0][-1:], state

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """The frame itself."""
        return x[0], state

    def record(self) -> Record:
        """No fields."""
        return Record()


@dataclass(frozen=True, eq=False)
class LastCell(Operator):
    """The c of an LSTM after the last frame of each push, `[units]`; the result has no time axis.

    Its input is the layer's answer, and its state is the layer's: it only reads it.
    """

    floats: ClassVar[bool] = False

    units: int

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """The units of the layer."""
        return self.units

    def advance(self, state: State, frames: Sequence[Frames], *, closing: bool) -> tuple[Frames, State]:  # noqa: ARG002
        """The layer's c, if there is a frame."""
        return [state[1]] if frames[0] else [], ()

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:  # noqa: ARG002
        """The layer's c."""
        return state[1], ()

    def record(self) -> Record:
        """The units."""
        return Record(counts=(self.units,))


@dataclass(frozen=True, eq=False)
class Slice(Operator):
    """`count` features: the first is `start`, then every `stride`-th."""

    floats: ClassVar[bool] = False

    start: int
    count: int
    stride: int = 1

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """`count`."""
        return self.count

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """The selected features."""
        return x[0][self.start :: self.stride][: self.count], state

    def record(self) -> Record:
        """Start, count and stride."""
        return Record(counts=(self.start, self.count, self.stride))


@dataclass(frozen=True, eq=False)
class Concat(Operator):
    """The features of the first input, then those of the second."""

    floats: ClassVar[bool] = False

    def width(self, widths: Sequence[int]) -> int:
        """The sum of both widths."""
        return sum(widths[i] for i in self.inputs)

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """Both inputs, joined."""
        return np.concatenate(x), state

    def record(self) -> Record:
        """No fields."""
        return Record()
