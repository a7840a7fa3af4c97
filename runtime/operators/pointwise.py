"""Functions per feature: of one value, of a value and a constant, of two values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats
from .base import FloatOperator, Record
from .numbers import functions

ZERO, ONE = np.float32(0), np.float32(1)


def _hard_sigmoid(x: Floats, slope: float, offset: float) -> Floats:
    y: Floats = np.clip(x * np.float32(slope) + np.float32(offset), ZERO, ONE)
    return y


def _prelu(x: Floats, slope: Floats | np.float32) -> Floats:
    return np.where(x < 0, x * slope, x)


MAPS: dict[str, Callable[..., Floats]] = {  # a plan numbers them in this order, from 1
    "relu": lambda x: np.where(x > 0, x, ZERO),
    "leaky_relu": lambda x, slope: _prelu(x, np.float32(slope)),
    "tanh": functions.tanh,
    "sigmoid": functions.sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "erf": functions.erf,
    "gelu": functions.gelu,
    "gelu_tanh": functions.gelu_tanh,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "neg": np.negative,
    "exp": functions.exp,
    "log": functions.log,
    "reciprocal": lambda x: ONE / x,
    "square": lambda x: x * x,
    "elu": functions.elu,
    "softplus": functions.softplus,
    "power": functions.power,
}
NUMBERS = {"leaky_relu": 1, "hard_sigmoid": 2, "elu": 1, "power": 1}  # parameters; others have none


@dataclass(frozen=True, eq=False)
class Map(FloatOperator):
    """A function of one value.

    `numbers` holds the slope of leaky_relu, slope and offset of hard_sigmoid, alpha of elu, or the exponent of power.
    """

    function: str
    numbers: tuple[float, ...] = ()

    def width(self, widths: Sequence[int]) -> int:
        """The width of the input."""
        return widths[self.inputs[0]]

    def formula(self, *x: Floats) -> Floats:
        """The function."""
        return MAPS[self.function](x[0], *self.numbers)

    def record(self) -> Record:
        """The function and its numbers."""
        return Record(list(MAPS).index(self.function) + 1, numbers=self.numbers)


CONSTANTS: dict[str, Callable[[Floats, Floats], Floats]] = {  # a plan numbers them in this order, from 1
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "from": lambda x, constant: constant - x,
    "into": lambda x, constant: constant / x,
    "max": lambda x, constant: np.where(x > constant, x, constant),
    "min": lambda x, constant: np.where(x < constant, x, constant),
    "prelu": _prelu,
}


@dataclass(frozen=True, eq=False)
class Elementwise(FloatOperator):
    """A function of a value and a constant float32 `[width]`; `from` is constant - x, `into` is constant / x."""

    function: str
    constant: Floats

    def width(self, widths: Sequence[int]) -> int:
        """The width of the input."""
        return widths[self.inputs[0]]

    def formula(self, *x: Floats) -> Floats:
        """The function."""
        return CONSTANTS[self.function](x[0], self.constant)

    def record(self) -> Record:
        """The function and its constant."""
        return Record(list(CONSTANTS).index(self.function) + 1, vectors=(self.constant,))


BINARIES: dict[str, Callable[[Floats, Floats], Floats]] = {  # a plan numbers them in this order, from 1
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": lambda a, b: np.where(a > b, a, b),
    "min": lambda a, b: np.where(a < b, a, b),
}


@dataclass(frozen=True, eq=False)
class Binary(FloatOperator):
    """A function of two values of equal width; a value of width 1 is applied to every feature of the other."""

    function: str

    def width(self, widths: Sequence[int]) -> int:
        """The larger width of the inputs."""
        return max(widths[i] for i in self.inputs)

    def formula(self, *x: Floats) -> Floats:
        """The function."""
        return BINARIES[self.function](*x)

    def record(self) -> Record:
        """The function."""
        return Record(list(BINARIES).index(self.function) + 1)
