"""Operators over all features of a frame: reductions to one value, softmax, layer normalization."""

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


@dataclass(frozen=True, eq=False)
class Reduce(FloatOperator):
    """Reduce all features to one value; sums have the order of `tree_sum`."""

    function: str

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """One."""
        return 1

    def formula(self, *x: Floats) -> Floats:
        """The reduction."""
        return np.asarray([REDUCTIONS[self.function](x[0])], np.float32)

    def record(self) -> Record:
        """The function."""
        return Record(list(REDUCTIONS).index(self.function) + 1)


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
    """Softmax over the features, or its logarithm."""

    function: str

    def width(self, widths: Sequence[int]) -> int:
        """The width of the input."""
        return widths[self.inputs[0]]

    def formula(self, *x: Floats) -> Floats:
        """The function."""
        return SOFTMAXES[self.function](x[0])

    def record(self) -> Record:
        """The function."""
        return Record(list(SOFTMAXES).index(self.function) + 1)


@dataclass(frozen=True, eq=False)
class LayerNorm(FloatOperator):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias; scale and bias are float32 `[width]`."""

    scale: Floats
    bias: Floats
    epsilon: float

    def width(self, widths: Sequence[int]) -> int:
        """The width of the input."""
        return widths[self.inputs[0]]

    def formula(self, *x: Floats) -> Floats:
        """Two passes: first the mean, then the squared differences from it."""
        d = without_tiny(x[0] - _mean(x[0]))
        variance = without_tiny(np.asarray(_mean(d * d)))
        deviation = np.sqrt(variance + np.float32(self.epsilon))
        return without_tiny(d / deviation) * self.scale + self.bias

    def record(self) -> Record:
        """Scale, bias and epsilon."""
        return Record(numbers=(self.epsilon,), vectors=(self.scale, self.bias))
