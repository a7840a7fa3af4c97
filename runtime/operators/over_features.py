"""Operators over all features of a frame: reductions to one value, softmax, layer normalization.

Each also works on the parts of a frame: `part` consecutive features at a time. A part of 0 is the whole frame.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats
from .base import FloatOperator, Record
from .numbers.functions import exp, log, tree_sum, without_tiny


def _mean(x: Floats) -> np.float32:
    return np.float32(tree_sum(x) / np.float32(x.size))


REDUCTIONS: dict[str, Callable[[Floats], np.float32]] = {  # a plan numbers them in this order, from 1
    "sum": tree_sum,
    "mean": _mean,
    "max": np.max,
    "min": np.min,
    "sum_square": lambda x: tree_sum(x * x),
    "l2": lambda x: np.sqrt(tree_sum(x * x)),
}


def parts_of(x: Floats, part: int) -> Floats:
    """Return a frame cut into parts, `[parts, features]`."""
    return x.reshape(-1, part or len(x))


@dataclass(frozen=True, eq=False)
class Reduce(FloatOperator):
    """Reduce the features of each part to one value; sums have the order of `tree_sum`."""

    function: str
    part: int = 0

    def width(self, widths: Sequence[int]) -> int:
        """One for each part."""
        return widths[self.inputs[0]] // self.part if self.part else 1

    def formula(self, *x: Floats) -> Floats:
        """The reduction."""
        return np.asarray([REDUCTIONS[self.function](part) for part in parts_of(x[0], self.part)], np.float32)

    def record(self) -> Record:
        """The function and the part."""
        return Record(list(REDUCTIONS).index(self.function) + 1, (self.part,))


def softmax(x: Floats) -> Floats:
    """Return e / sum(e) for e = exp(x - max x), with tiny e set to 0."""
    e = without_tiny(exp(x - np.max(x)))
    return e / tree_sum(e)


def log_softmax(x: Floats) -> Floats:
    """Return d - log(sum(exp d)) for d = x - max x."""
    d = x - np.max(x)
    total = np.asarray([tree_sum(without_tiny(exp(d)))])
    return d - log(total)


SOFTMAXES: dict[str, Callable[[Floats], Floats]] = {"softmax": softmax, "log_softmax": log_softmax}


@dataclass(frozen=True, eq=False)
class Softmax(FloatOperator):
    """Softmax over the features of each part, or its logarithm."""

    function: str
    part: int = 0

    def width(self, widths: Sequence[int]) -> int:
        """The width of the input."""
        return widths[self.inputs[0]]

    def formula(self, *x: Floats) -> Floats:
        """The function."""
        return np.concatenate([SOFTMAXES[self.function](part) for part in parts_of(x[0], self.part)])

    def record(self) -> Record:
        """The function and the part."""
        return Record(list(SOFTMAXES).index(self.function) + 1, (self.part,))


@dataclass(frozen=True, eq=False)
class LayerNorm(FloatOperator):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias; scale and bias are float32 `[width]`.

    Each part has a mean and a variance of its own.
    """

    scale: Floats
    bias: Floats
    epsilon: float
    part: int = 0

    def width(self, widths: Sequence[int]) -> int:
        """The width of the input."""
        return widths[self.inputs[0]]

    def formula(self, *x: Floats) -> Floats:
        """Two passes: first the mean, then the squared differences from it."""
        normal = np.concatenate([self._normal(part) for part in parts_of(x[0], self.part)])
        return without_tiny(normal) * self.scale + self.bias

    def _normal(self, x: Floats) -> Floats:
        d = without_tiny(x - _mean(x))
        variance = without_tiny(np.asarray(_mean(d * d)))
        normal: Floats = d / np.sqrt(variance + np.float32(self.epsilon))
        return normal

    def record(self) -> Record:
        """Scale, bias, epsilon and the part."""
        return Record(counts=(self.part,), numbers=(self.epsilon,), vectors=(self.scale, self.bias))
