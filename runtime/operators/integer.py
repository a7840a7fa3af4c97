"""Operators without floats: int8 weights, int16 activations and states, fixed-point gates; see `numbers/fixed.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, Floats
from ..cells import GRU, LSTM
from ..contract import Slot
from .base import Operator, Record, State
from .matrix import Matrix, channels
from .numbers import fixed
from .numbers.fixed import GATE, STATE_BITS, UNIT, VALUE_BITS
from .numbers.functions import without_tiny
from .recurrent import Cell


def _read(matrix: Matrix, x: Floats) -> Array:
    return fixed.codes(x, matrix.exponent, matrix.bits)


def _product(matrix: Matrix, codes: Array, exponent: int) -> Array:
    """Return W x for the codes of one frame, as codes of an exponent, `[output channels]`."""
    return fixed.scaled(matrix.codes.astype(np.int64) @ codes, matrix.scales[:, 0], exponent - matrix.exponent)


@dataclass(frozen=True, eq=False)
class IntegerOptions:
    """The options of a cell in integers.

    Attributes:
        clip: The largest magnitude of the sums of gates and candidate, of exponent GATE; 0: no limit.
        coupled: As in `CellOptions`.
        reset_first: As in `CellOptions`.
        peepholes: The weights of c in the gates i, o, f, int32 codes of 16 bits, `[3 hidden]`; None: there are none.
        exponent: The exponent of the peepholes.
    """

    clip: int = 0
    coupled: bool = False
    reset_first: bool = False
    peepholes: Array | None = None
    exponent: int = 0

    def clipped(self, sums: Array) -> Array:
        """Return sums within the clip."""
        return np.clip(sums, -self.clip, self.clip) if self.clip else sums

    def of_c(self, gate: int, c: Array, exponents: Array) -> Array:
        """Return the share of c, codes of the given exponents, in the sums of gate i, o or f."""
        if self.peepholes is None:
            return np.zeros_like(c)
        weights = np.split(self.peepholes, 3)[gate].astype(np.int64)
        return fixed.shifted(weights * c, exponents + self.exponent - GATE)


PLAIN = IntegerOptions()


@dataclass(frozen=True, eq=False)
class IntegerLstm(Cell):
    """An LSTM layer; gates in ONNX order i, o, f, c.

    Attributes:
        w: `[4 hidden, features]`; its `exponent` is that of the codes of x.
        r: `[4 hidden, hidden]`; its `exponent` is bits - 1, because h lies within (-1, 1).
        bias: b_ih + b_hh, int32 codes of exponent GATE, `[4 hidden]`.
        exponents: Exponent of the codes of c per unit, 0 to 15: some units reach hundreds, others stay below 1.
    """

    kind = LSTM
    floats: ClassVar[bool] = False

    w: Matrix
    r: Matrix
    bias: Array
    h: Slot
    c: Slot
    exponents: Array

    @property
    def slots(self) -> tuple[Slot, ...]:
        """H, then c."""
        return self.h, self.c

    def next_state(self, x: Floats, *state: Floats) -> State:
        """The equations of the ONNX LSTM."""
        return integer_lstm_step(self, x, state, PLAIN)

    def record(self) -> Record:
        """The matrices w and r, the bias, and the exponents of c."""
        return Record(matrices=(self.w, self.r), vectors=(self.bias, self.exponents))


@dataclass(frozen=True, eq=False)
class IntegerGru(Cell):
    """A GRU layer with linear_before_reset; gates in ONNX order z, r, n.

    Attributes:
        w: `[3 hidden, features]`; its `exponent` is that of the codes of x.
        r: `[3 hidden, hidden]`; its `exponent` is bits - 1, because h lies within (-1, 1).
        bias: b_ih + b_hh of z and r, b_ih of n; int32 codes of exponent GATE, `[3 hidden]`.
        candidate_bias: b_hh of n; int32 codes of exponent GATE, `[hidden]`.
    """

    kind = GRU
    floats: ClassVar[bool] = False

    w: Matrix
    r: Matrix
    bias: Array
    candidate_bias: Array
    h: Slot

    def next_state(self, x: Floats, *state: Floats) -> State:
        """The equations of the ONNX GRU."""
        return (integer_gru_step(self, x, state[0], PLAIN),)

    def record(self) -> Record:
        """The matrices w and r, and both biases."""
        return Record(matrices=(self.w, self.r), vectors=(self.bias, self.candidate_bias))


def integer_lstm_step(cell: IntegerLstm, x: Floats, state: Sequence[Floats], options: IntegerOptions) -> State:
    """Return h and c of an LSTM after one frame."""
    h, c = _read(cell.r, state[0]), fixed.codes(state[1], cell.exponents, STATE_BITS)
    sums = _product(cell.w, _read(cell.w, x), GATE) + cell.bias + _product(cell.r, h, GATE)
    i, o, f, g = np.split(sums, 4)
    input_gate = fixed.sigmoid(options.clipped(i + options.of_c(0, c, cell.exponents)))
    forget_gate = fixed.sigmoid(options.clipped(f + options.of_c(2, c, cell.exponents)))
    if options.coupled:
        forget_gate = (1 << UNIT) - input_gate
    added = fixed.rounded(input_gate * fixed.tanh(options.clipped(g)), UNIT - cell.exponents)
    most = fixed.largest(STATE_BITS)
    c = np.clip(fixed.rounded(forget_gate * c + added, UNIT), -most, most)
    output_gate = fixed.sigmoid(options.clipped(o + options.of_c(1, c, cell.exponents)))
    product = output_gate * fixed.tanh(c << (GATE - cell.exponents))
    h = np.clip(fixed.rounded(product, 2 * UNIT - cell.r.exponent), *_ends(cell.r))
    return fixed.values(h, cell.r.exponent), fixed.values(c, cell.exponents)


def integer_gru_step(cell: IntegerGru, x: Floats, before: Floats, options: IntegerOptions) -> Floats:
    """Return h of a GRU after one frame."""
    h, gates = _read(cell.r, before), 2 * cell.hidden
    z_x, r_x, n_x = np.split(_product(cell.w, _read(cell.w, x), GATE) + cell.bias, 3)
    z_h, r_h = np.split(_product(channels(cell.r, 0, gates), h, GATE), 2)
    candidate_r = channels(cell.r, gates, gates + cell.hidden)
    update, reset = (fixed.sigmoid(options.clipped(sums)) for sums in (z_x + z_h, r_x + r_h))
    if options.reset_first:
        heard = _product(candidate_r, fixed.rounded(reset * h, UNIT), GATE)
    else:
        heard = fixed.rounded(reset * (_product(candidate_r, h, GATE) + cell.candidate_bias), UNIT)
    candidate = fixed.tanh(options.clipped(n_x + heard))
    mixed = ((1 << UNIT) - update) * candidate + update * (h << (UNIT - cell.r.exponent))
    h = np.clip(fixed.rounded(mixed, 2 * UNIT - cell.r.exponent), *_ends(cell.r))
    return fixed.values(h, cell.r.exponent)


def _ends(matrix: Matrix) -> tuple[int, int]:
    most = fixed.largest(matrix.bits)
    return -most, most


@dataclass(frozen=True, eq=False)
class IntegerLinear(Operator):
    """W x + b; the answer has codes of 24 bits and a sign.

    Attributes:
        w: `[outputs, features]`; its `exponent` is that of the codes of x.
        bias: int32 codes of the answer's exponent, `[outputs]`.
        exponent: The exponent of the answer's codes.
    """

    floats: ClassVar[bool] = False

    w: Matrix
    bias: Array
    exponent: int

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """The number of output channels."""
        return int(self.w.codes.shape[0])

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """One frame."""
        return _values(_product(self.w, _read(self.w, x[0]), self.exponent) + self.bias, self.exponent), state

    def record(self) -> Record:
        """The matrix, the bias, and the exponent of the answer."""
        return Record(counts=(self.exponent,), matrices=(self.w,), vectors=(self.bias,))


def _values(codes: Array, exponent: int) -> Floats:
    most = fixed.largest(VALUE_BITS)
    return fixed.values(np.clip(codes, -most, most), exponent)


@dataclass(frozen=True, eq=False)
class IntegerAffine(Operator):
    """x s + b per feature: adding, subtracting, multiplying or dividing by constants.

    The codes of x and of the answer have 24 bits and a sign.

    Attributes:
        scale: float32 `[width]`, magnitudes 2^-40 to 2^40.
        bias: int32 codes of the answer's exponent, `[width]`.
        input_exponent: The exponent of the codes of x.
        exponent: The exponent of the answer's codes.
    """

    floats: ClassVar[bool] = False

    scale: Floats
    bias: Array
    input_exponent: int
    exponent: int

    def width(self, widths: Sequence[int]) -> int:
        """The width of the input."""
        return widths[self.inputs[0]]

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """One frame."""
        codes = fixed.codes(x[0], self.input_exponent, VALUE_BITS)
        sums = fixed.scaled(codes, self.scale, self.exponent - self.input_exponent) + self.bias
        return _values(sums, self.exponent), state

    def record(self) -> Record:
        """Scale and bias, and both exponents."""
        return Record(counts=(self.exponent, self.input_exponent), vectors=(self.scale, self.bias))


INTEGER_MAPS: dict[str, Callable[[Floats], Floats]] = {  # in the order of their numbers in a plan, from 1
    "relu": lambda x: np.where(x > 0, without_tiny(x), np.float32(0)),
    "tanh": lambda x: fixed.values(fixed.tanh(fixed.codes(x, GATE, VALUE_BITS)), UNIT),
    "sigmoid": lambda x: fixed.values(fixed.sigmoid(fixed.codes(x, GATE, VALUE_BITS)), UNIT),
}


@dataclass(frozen=True, eq=False)
class IntegerMap(Operator):
    """A function of one value: ReLU on the float's bits; tanh and sigmoid as a gate computes them."""

    floats: ClassVar[bool] = False

    function: str

    def width(self, widths: Sequence[int]) -> int:
        """The width of the input."""
        return widths[self.inputs[0]]

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """The function."""
        return INTEGER_MAPS[self.function](x[0]), state

    def record(self) -> Record:
        """The function."""
        return Record(list(INTEGER_MAPS).index(self.function) + 1)
