"""What every operator of the engine is: a record that knows its width, its arithmetic and its place in a plan."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, Floats
from ..clocks import Clock
from ..contract import Slot
from .matrix import Matrix
from .numbers.functions import check_range, without_tiny

State = tuple[Array, ...]
Rows = Sequence[Floats]


@dataclass(frozen=True, eq=False)
class Record:
    """What an operation puts into its record in a plan, beside its kind and inputs; see docs/plan.md."""

    function: int = 0
    counts: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    vectors: tuple[Array, ...] = ()


@dataclass(frozen=True, eq=False)
class Operator(ABC):
    """One operation of a program.

    Attributes:
        inputs: The values that it reads.
        floats: Whether it computes in floats; what only moves values and what computes with integers does not.
    """

    floats: ClassVar[bool] = True

    inputs: tuple[int, ...]

    @abstractmethod
    def width(self, widths: Sequence[int]) -> int:
        """Return the features of the value that it makes, given those of the values before it."""

    def clock(self, clocks: Sequence[Clock]) -> Clock:
        """Return when its rows come, given the clocks of the values before it: with those of its first input."""
        return clocks[self.inputs[0]]

    def advance(self, state: State, rows: Sequence[Rows], *, closing: bool) -> tuple[Rows, State]:  # noqa: ARG002
        """Compute the rows that are ready: one for each that it reads, unless it looks ahead.

        Args:
            state: What it carries.
            rows: Of each input the rows that are new.
            closing: They are the last of the stream.

        Returns:
            The rows that it makes and the new state.

        Raises:
            ChunkError: A result is not finite or leaves 2^64.
        """
        made = []
        for x in zip(*rows, strict=True):
            y, state = self.step(state, *x)
            made.append(y)
        return made, state

    @abstractmethod
    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """Compute one frame: the specification that the engine equals bit for bit.

        Args:
            state: What it carries from frame to frame.
            x: A frame of each input, float32 `[width]`.

        Returns:
            The frame that it makes and the new state.

        Raises:
            ChunkError: A result is not finite or leaves 2^64.
        """

    @abstractmethod
    def record(self) -> Record:
        """Return its part of a plan."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Where its state vectors live in the contract, in the engine's order."""
        return ()

    def initial(self) -> State:
        """Return the state at the start of a stream."""
        return ()


class FloatOperator(Operator):
    """An operator of plain float arithmetic: magnitudes below 2^-60 become +0 before and after it."""

    @abstractmethod
    def formula(self, *x: Floats) -> Floats:
        """Return one frame from a frame of each input, free of tiny values; every operation rounded."""

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """Flush, compute, flush, check the range."""
        with np.errstate(all="ignore"):  # what overflows or is no number is refused just below
            return check_range(without_tiny(self.formula(*map(without_tiny, x)))), state
