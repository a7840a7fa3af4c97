"""A program: the few operations that a streaming model comes down to, between ONNX and a compiled plan.

Operation k reads one earlier value and makes value k + 1; value 0 is the input frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .arrays import Floats

WEIGHT_MAX = 127  # largest int8 code in use; -128 is refused


class Reading(Enum):
    """How a matrix turns the floats it reads into integers."""

    FRAME = 1  # by the largest magnitude of each frame
    HIDDEN = 2  # as hidden values in (-1, 1): one code is 1/q


def activation_bits(columns: int, most: int = 16) -> int:
    """Return the most activation bits, up to `most`, whose int32 sums over `columns` cannot overflow."""
    bits = most
    while columns * WEIGHT_MAX * (2 ** (bits - 1) - 1) > 2**31 - 1:
        bits -= 1
    return bits


@dataclass(frozen=True, eq=False)
class Matrix:
    """An int8 weight matrix with one scale a row.

    Attributes:
        codes: int8 `[rows, columns]`, within +-127.
        scales: float32 `[rows]`, within [2^-40, 2^40].
        reading: How it reads its input.
        bits: Bits of the input's integers.
    """

    codes: npt.NDArray[np.int8]
    scales: Floats
    reading: Reading
    bits: int


@dataclass(frozen=True)
class Slot:
    """Where a state vector lives in the contract: row `row` of the state whose input is `name`."""

    name: str
    row: int


@dataclass(frozen=True, eq=False)
class Lstm:
    """An LSTM layer; gates in ONNX order i, o, f, c; `bias` is b_ih + b_hh, float32 `[4 hidden]`."""

    inputs: tuple[int, ...]
    w: Matrix
    r: Matrix
    bias: Floats
    h: Slot
    c: Slot

    @property
    def hidden(self) -> int:
        """Units of the layer."""
        return int(self.r.codes.shape[1])

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Its state vectors."""
        return self.h, self.c


@dataclass(frozen=True, eq=False)
class Gru:
    """A GRU layer with linear_before_reset; gates in ONNX order z, r, n (ONNX calls the last h).

    Attributes:
        bias: b_ih + b_hh of z and r, b_ih of n; float32 `[3 hidden]`.
        candidate_bias: b_hh of n, `[hidden]`: the reset gate scales it.
    """

    inputs: tuple[int, ...]
    w: Matrix
    r: Matrix
    bias: Floats
    candidate_bias: Floats
    h: Slot

    @property
    def hidden(self) -> int:
        """Units of the layer."""
        return int(self.r.codes.shape[1])

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Its state vectors."""
        return (self.h,)


@dataclass(frozen=True, eq=False)
class Rnn:
    """A plain RNN layer, `function` tanh or relu; `bias` is b_ih + b_hh, float32 `[hidden]`."""

    inputs: tuple[int, ...]
    function: str
    w: Matrix
    r: Matrix
    bias: Floats
    h: Slot

    @property
    def hidden(self) -> int:
        """Units of the layer."""
        return int(self.r.codes.shape[1])

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Its state vectors."""
        return (self.h,)


@dataclass(frozen=True, eq=False)
class Linear:
    """W x + b."""

    inputs: tuple[int, ...]
    w: Matrix
    bias: Floats


@dataclass(frozen=True, eq=False)
class Elementwise:
    """X op constant for op in add, sub, mul, div; the constant is float32 `[width]`."""

    inputs: tuple[int, ...]
    function: str
    constant: Floats


@dataclass(frozen=True, eq=False)
class Last:
    """The last frame of each push; what follows has no time axis."""

    inputs: tuple[int, ...]


Cell = Lstm | Gru | Rnn
Op = Cell | Linear | Elementwise | Last


def is_hidden(op: Op) -> bool:
    """Return whether an operation makes hidden values in (-1, 1): h of every cell but an RNN with relu."""
    return isinstance(op, Lstm | Gru) or (isinstance(op, Rnn) and op.function == "tanh")


def op_width(op: Op, widths: Sequence[int]) -> int:
    """Return the features of the value that an operation makes, given those of the values before it."""
    match op:
        case Lstm() | Gru() | Rnn():
            return op.hidden
        case Linear():
            return int(op.w.codes.shape[0])
        case Elementwise() | Last():
            return widths[op.inputs[0]]


@dataclass(frozen=True, eq=False)
class Program:
    """Operations over frames of `input_width` features; outputs are `(name, value)`."""

    input_width: int
    ops: tuple[Op, ...]
    outputs: tuple[tuple[str, int], ...]

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Features of each value."""
        widths = [self.input_width]
        for op in self.ops:
            widths.append(op_width(op, widths))
        return tuple(widths)

    def timed(self, value: int) -> bool:
        """Return whether a value has a row for each frame."""
        while value:
            op = self.ops[value - 1]
            if isinstance(op, Last):
                return False
            value = op.inputs[0]
        return True

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The state vectors in the engine's order: h, and c of an LSTM, of each layer."""
        return tuple(slot for op in self.ops if isinstance(op, Cell) for slot in op.slots)
