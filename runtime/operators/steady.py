"""Operators that give the same vector for each frame: a constant, or a state that stays until its caller sets it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Floats
from ..contract import Slot
from .base import Operator, Record, State


@dataclass(frozen=True, eq=False)
class Constant(Operator):
    """A constant float32 `[width]` for each frame of the input, whose values are not read."""

    floats: ClassVar[bool] = False

    vector: Floats

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """The length of the vector."""
        return len(self.vector)

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:  # noqa: ARG002
        """The constant."""
        return self.vector, state

    def record(self) -> Record:
        """The length and the vector."""
        return Record(counts=(len(self.vector),), vectors=(self.vector,))


@dataclass(frozen=True, eq=False)
class Static(Operator):
    """The state itself for each frame of the input, whose values are not read: a static input of the model.

    Only a caller changes the state.
    """

    floats: ClassVar[bool] = False

    slot: Slot
    values: int

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The static input."""
        return (self.slot,)

    def initial(self) -> State:
        """Zeros."""
        return (np.zeros(self.values, np.float32),)

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """The number of values."""
        return self.values

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:  # noqa: ARG002
        """The state, which stays."""
        return state[0], state

    def record(self) -> Record:
        """The number of values."""
        return Record(counts=(self.values,))
