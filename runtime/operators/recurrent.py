"""Recurrent layers in floats: LSTM, projected LSTM, GRU and RNN, one step at a time.

The equations of each cell are written once, with the options of its kind. The plain layers are those of PyTorch, for
which the engine has its fastest code; the layers with options are in `cells_with_options`.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Floats
from ..cells import GRU, LSTM, PROJECTED_LSTM, RNN, Activation, CellKind, CellOptions
from ..contract import Slot
from .activations import activate
from .base import Operator, Record, State
from .matrix import Matrix, affine, channels, product
from .numbers.functions import ONE, check_range, without_tiny


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
    def form(self) -> CellOptions:
        """Its options."""
        return self.kind.plain

    @property
    def is_bounded(self) -> bool:
        """Whether h stays within [-1, 1]: it is a product of such values, or a weighted mean of such and the old h."""
        first, last = self.form.activations[0], self.form.activations[-1]
        return first.is_within(2 if self.kind is GRU else 1) and last.is_within(1)

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


def lstm_step(form: CellOptions, sums: Floats, c: Floats, peepholes: Floats | None = None) -> tuple[Floats, Floats]:
    """Return o * h(c) and the new c from the sums of the gates, without the shares of the peepholes i, o, f.

    Raises:
        ChunkError: c leaves 2^64, which a plain LSTM cannot do.
    """
    gate, squash, bound = form.activations
    i, o, f, g = np.split(sums, 4)
    if peepholes is not None:
        of_i, of_o, of_f = np.split(peepholes, 3)
        i, f = i + of_i * c, f + of_f * c
    input_gate = activate(gate, i, form.clip)
    forget_gate = ONE - input_gate if form.coupled else activate(gate, f, form.clip)
    candidate = activate(squash, g, form.clip)
    cell = check_range(without_tiny(forget_gate * c + input_gate * candidate))
    if peepholes is not None:
        o = o + of_o * cell
    return activate(gate, o, form.clip) * activate(bound, cell), cell


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
        return lstm_step(self.form, affine(self.w, self.bias, x) + product(self.r, state[0]), state[1])

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
    def is_bounded(self) -> bool:
        """False: P may be of any size."""
        return False

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
        output, cell = lstm_step(self.form, affine(self.w, self.bias, x) + product(self.r, state[0]), state[1])
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
        return (gru_step(self, x, state[0]),)

    def record(self) -> Record:
        """The matrices w and r, and both biases."""
        return Record(matrices=(self.w, self.r), vectors=(self.bias, self.candidate_bias))


def gru_step(cell: Gru, x: Floats, h: Floats) -> Floats:
    """Return the new h of a GRU.

    Raises:
        ChunkError: The reset gate, its product with h, or the new h leaves 2^64, which a plain GRU cannot do.
    """
    (gate, squash), clip = cell.form.activations, cell.form.clip
    gates = 2 * cell.hidden
    z_x, r_x, n_x = np.split(affine(cell.w, cell.bias, x), 3)
    z_h, r_h = np.split(product(channels(cell.r, 0, gates), h), 2)
    candidate_r = channels(cell.r, gates, gates + cell.hidden)
    update = activate(gate, z_x + z_h, clip)
    reset = activate(gate, r_x + r_h, clip)
    if cell.form.reset_first:
        of_h = product(candidate_r, check_range(reset * h))
    else:
        of_h = check_range(reset) * (product(candidate_r, h) + cell.candidate_bias)
    candidate = activate(squash, n_x + of_h, clip)
    return check_range(without_tiny((ONE - update) * candidate + update * h))


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

    @property
    def form(self) -> CellOptions:
        """Its options: the activation."""
        return CellOptions((Activation(self.function.title()),))

    def next_state(self, x: Floats, *state: Floats) -> State:
        """The equation of the ONNX RNN.

        Raises:
            ChunkError: h leaves 2^64, which can happen with relu.
        """
        return (rnn_step(self.form, affine(self.w, self.bias, x) + product(self.r, state[0])),)

    def record(self) -> Record:
        """The function, the matrices w and r, and the bias."""
        return Record(self.FUNCTIONS.index(self.function) + 1, matrices=(self.w, self.r), vectors=(self.bias,))


def rnn_step(form: CellOptions, sums: Floats) -> Floats:
    """Return the new h of an RNN from its sums.

    Raises:
        ChunkError: h leaves 2^64.
    """
    return check_range(without_tiny(activate(form.activations[0], sums, form.clip)))


def is_hidden(op: Operator) -> bool:
    """Return whether the result of an operation is an h within [-1, 1], without a c."""
    return isinstance(op, Cell) and op.is_bounded and op.width(()) == op.hidden
