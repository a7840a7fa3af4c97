"""What all operators of the engine share: each knows its width, its arithmetic and its record in a plan."""

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
Frames = Sequence[Floats]


@dataclass(frozen=True, eq=False)
class Record:
    """The fields of an operation's record in a plan, without its kind and inputs; see docs/plan.md."""

    function: int = 0
    counts: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    vectors: tuple[Array, ...] = ()


@dataclass(frozen=True, eq=False)
class Operator(ABC):
    """One operation of a program.

    Attributes:
        inputs: Numbers of the values that it reads.
        floats: Whether it computes in floats. False for operators that only move values or compute with integers.
    """

    floats: ClassVar[bool] = True

    inputs: tuple[int, ...]

    @abstractmethod
    def width(self, widths: Sequence[int]) -> int:
        """Return the number of features of its result, given those of all earlier values."""

    def clock(self, clocks: Sequence[Clock]) -> Clock:
        """Return when its frames come, given the clocks of all earlier values: together with its first input's."""
        return clocks[self.inputs[0]]

    def advance(self, state: State, frames: Sequence[Frames], *, closing: bool) -> tuple[Frames, State]:  # noqa: ARG002
        """Compute the frames that are ready: one for each new frame, unless the operator looks ahead.

        Args:
            state: Its state before these frames.
            frames: The new frames of each input.
            closing: Whether they are the last of the stream.

        Returns:
            The frames of its result and the new state.

        Raises:
            ChunkError: A result is not finite or leaves 2^64.
        """
        made = []
        for x in zip(*frames, strict=True):
            y, state = self.step(state, *x)
            made.append(y)
        return made, state

    @abstractmethod
    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """Compute one frame: the specification that the engine equals bit for bit.

        Args:
            state: Its state before this frame.
            x: One frame of each input, float32 `[width]`.

        Returns:
            One frame of its result and the new state.

        Raises:
            ChunkError: A result is not finite or leaves 2^64.
        """

    @abstractmethod
    def record(self) -> Record:
        """Return its fields in a plan."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The places of its state vectors in the contract, in the engine's order."""
        return ()

    def initial(self) -> State:
        """Return the state at the start of a stream."""
        return ()


class FloatOperator(Operator):
    """An operator of float arithmetic: magnitudes below 2^-60 become +0 in its inputs and in its result."""

    @abstractmethod
    def formula(self, *x: Floats) -> Floats:
        """Return one frame from one frame of each input, which hold no tiny values; every operation is rounded."""

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """Flush tiny values, compute, flush again, check the range."""
        with np.errstate(all="ignore"):  # the next line refuses infinities and NaN
            return check_range(without_tiny(self.formula(*map(without_tiny, x)))), state
