"""Recurrent layers in floats: LSTM, projected LSTM, GRU and RNN, one step at a time."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Floats
from ..cells import GRU, LSTM, PROJECTED_LSTM, RNN, CellKind
from ..contract import Slot
from .base import Operator, Record, State
from .matrix import Matrix, affine, product
from .numbers.functions import check_range, sigmoid, tanh, without_tiny


class Cell(Operator):
    """A recurrent layer. Its state is h, and for an LSTM also c; its answer is h."""

    kind: ClassVar[CellKind]

    w: Matrix
    r: Matrix
    h: Slot

    @property
    def hidden(self) -> int:
        """The number of units."""
        return int(self.r.codes.shape[1])

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The place of h."""
        return (self.h,)

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """The length of h."""
        return self.hidden

    def initial(self) -> State:
        """Zeros in each state vector."""
        return tuple(np.zeros(self.hidden, np.float32) for _ in self.slots)

    @abstractmethod
    def next_state(self, x: Floats, *state: Floats) -> State:
        """Return the state vectors after one frame x `[features]`; h comes first."""

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """One step; the answer is h."""
        after = self.next_state(x[0], *state)
        return after[0], after


def _lstm_step(gates: Floats, c: Floats) -> tuple[Floats, Floats]:
    """Return o * tanh(c) and the new c."""
    i, o, f, g = np.split(gates, 4)
    input_gate = sigmoid(i)
    output_gate = sigmoid(o)
    forget_gate = sigmoid(f)
    candidate = tanh(g)
    cell = without_tiny(forget_gate * c + input_gate * candidate)
    return output_gate * tanh(cell), cell


@dataclass(frozen=True, eq=False)
class Lstm(Cell):
    """An LSTM layer, gates in ONNX order i, o, f, c; `bias` is b_ih + b_hh, float32 `[4 hidden]`."""

    kind = LSTM

    w: Matrix
    r: Matrix
    bias: Floats
    h: Slot
    c: Slot

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The places of h and c."""
        return self.h, self.c

    def next_state(self, x: Floats, *state: Floats) -> State:
        """The equations of the ONNX LSTM."""
        return _lstm_step(affine(self.w, self.bias, x) + product(self.r, state[0]), state[1])

    def record(self) -> Record:
        """The matrices w and r, and the bias."""
        return Record(matrices=(self.w, self.r), vectors=(self.bias,))


@dataclass(frozen=True, eq=False)
class LstmProjected(Cell):
    """An LSTM layer with projection: h = P (o * tanh(c)). This h is not bounded by 1.

    Attributes:
        w: `[4 hidden, features]`, gates in ONNX order i, o, f, c.
        r: `[4 hidden, projected]`; its input h is scaled by its largest magnitude in each step.
        p: `[projected, hidden]`; its input o * tanh(c) lies within (-1, 1).
        bias: b_ih + b_hh, float32 `[4 hidden]`.
    """

    kind = PROJECTED_LSTM

    w: Matrix
    r: Matrix
    p: Matrix
    bias: Floats
    h: Slot
    c: Slot

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The places of h and c."""
        return self.h, self.c

    def initial(self) -> State:
        """Zeros: h has the projected size, c has one value per unit."""
        return np.zeros(self.p.codes.shape[0], np.float32), np.zeros(self.p.codes.shape[1], np.float32)

    def next_state(self, x: Floats, *state: Floats) -> State:
        """The equations of torch's LSTM with `proj_size`.

        Raises:
            ChunkError: h leaves 2^64.
        """
        output, cell = _lstm_step(affine(self.w, self.bias, x) + product(self.r, state[0]), state[1])
        return check_range(without_tiny(product(self.p, output))), cell

    def record(self) -> Record:
        """The matrices w, r and p, and the bias."""
        return Record(matrices=(self.w, self.r, self.p), vectors=(self.bias,))


@dataclass(frozen=True, eq=False)
class Gru(Cell):
    """A GRU layer with linear_before_reset, gates in ONNX order z, r, n (ONNX calls the last one h).

    Attributes:
        bias: b_ih + b_hh of z and r, b_ih of n; float32 `[3 hidden]`.
        candidate_bias: b_hh of n, `[hidden]`. It is separate because the reset gate scales it.
    """

    kind = GRU

    w: Matrix
    r: Matrix
    bias: Floats
    candidate_bias: Floats
    h: Slot

    def next_state(self, x: Floats, *state: Floats) -> State:
        """The equations of the ONNX GRU."""
        (h,) = state
        z_x, r_x, n_x = np.split(affine(self.w, self.bias, x), 3)
        z_h, r_h, n_h = np.split(product(self.r, h), 3)
        update = sigmoid(z_x + z_h)
        reset = sigmoid(r_x + r_h)
        candidate = tanh(n_x + reset * (n_h + self.candidate_bias))
        return (without_tiny((np.float32(1) - update) * candidate + update * h),)

    def record(self) -> Record:
        """The matrices w and r, and both biases."""
        return Record(matrices=(self.w, self.r), vectors=(self.bias, self.candidate_bias))


@dataclass(frozen=True, eq=False)
class Rnn(Cell):
    """A plain RNN layer; `function` is tanh or relu, `bias` is b_ih + b_hh, float32 `[hidden]`."""

    FUNCTIONS: ClassVar[tuple[str, ...]] = ("tanh", "relu")
    kind = RNN

    function: str
    w: Matrix
    r: Matrix
    bias: Floats
    h: Slot

    def next_state(self, x: Floats, *state: Floats) -> State:
        """The equation of the ONNX RNN.

        Raises:
            ChunkError: h leaves 2^64, which can happen with relu.
        """
        sums = affine(self.w, self.bias, x) + product(self.r, state[0])
        hidden = tanh(sums) if self.function == "tanh" else np.where(sums > 0, sums, np.float32(0))
        return (check_range(without_tiny(hidden)),)

    def record(self) -> Record:
        """The function, the matrices w and r, and the bias."""
        return Record(self.FUNCTIONS.index(self.function) + 1, matrices=(self.w, self.r), vectors=(self.bias,))


def is_hidden(op: Operator) -> bool:
    """Return whether the result of an operation is an h within (-1, 1)."""
    unbounded = isinstance(op, LstmProjected) or (isinstance(op, Rnn) and op.function == "relu")
    return isinstance(op, Cell) and not unbounded
