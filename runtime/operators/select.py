"""Operators that choose and join, and compute nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Floats
from .base import Operator, Record, Rows, State


@dataclass(frozen=True, eq=False)
class Last(Operator):
    """The last frame of each push; what follows has no time axis."""

    floats: ClassVar[bool] = False

    def width(self, widths: Sequence[int]) -> int:
        """That of the input."""
        return widths[self.inputs[0]]

    def advance(self, state: State, rows: Sequence[Rows], *, closing: bool) -> tuple[Rows, State]:  # noqa: ARG002
        """The last row, if there is one."""
        return rows[0][-1:], state

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """The frame itself."""
        return x[0], state

    def record(self) -> Record:
        """Nothing more than its kind."""
        return Record()


@dataclass(frozen=True, eq=False)
class Slice(Operator):
    """`count` features from `start` on, every `stride`-th."""

    floats: ClassVar[bool] = False

    start: int
    count: int
    stride: int = 1

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002  its own count
        """The count."""
        return self.count

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """The chosen features."""
        return x[0][self.start :: self.stride][: self.count], state

    def record(self) -> Record:
        """Start, count and stride."""
        return Record(counts=(self.start, self.count, self.stride))


@dataclass(frozen=True, eq=False)
class Concat(Operator):
    """The features of one value, then those of another."""

    floats: ClassVar[bool] = False

    def width(self, widths: Sequence[int]) -> int:
        """The sum of both."""
        return sum(widths[i] for i in self.inputs)

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """Both, joined."""
        return np.concatenate(x), state

    def record(self) -> Record:
        """Nothing more than its kind."""
        return Record()
