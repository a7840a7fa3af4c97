"""Linear layers."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..arrays import Floats
from .base import Operator, Record, State
from .matrix import Matrix, affine
from .numbers.functions import check_range


@dataclass(frozen=True, eq=False)
class Linear(Operator):
    """W x + b."""

    w: Matrix
    bias: Floats

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """The number of output channels."""
        return int(self.w.codes.shape[0])

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """One frame."""
        return check_range(affine(self.w, self.bias, x[0])), state

    def record(self) -> Record:
        """The matrix and the bias."""
        return Record(matrices=(self.w,), vectors=(self.bias,))
