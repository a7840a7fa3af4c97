"""Recurrent layers with options, and their record in a plan: the equations are those of `recurrent`.

The record's function has the number of each activation in one byte, the first in the lowest, and flags in the highest
byte. The second vector starts with `NUMBERS` numbers: alpha and beta of three activations, and the clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..arrays import Floats
from ..cells import RNN, CellKind, CellOptions
from ..contract import Slot
from .activations import number_of
from .base import Record, State
from .matrix import Matrix, affine, product
from .numbers.functions import check_range, without_tiny
from .recurrent import Cell, Gru, Lstm, LstmProjected, Rnn, gru_step, lstm_step, rnn_step

NUMBERS = 7
COUPLED, RESET_FIRST, PEEPHOLES, GIVES_C = 1, 2, 4, 8  # flags


def _record(options: CellOptions, flags: int, matrices: tuple[Matrix, ...], bias: Floats, more: Floats) -> Record:
    """Return a record; `more` follows the numbers in the second vector."""
    flags |= COUPLED * options.coupled | RESET_FIRST * options.reset_first
    function = flags << 24 | sum(number_of(one) << 8 * place for place, one in enumerate(options.activations))
    numbers = np.zeros(NUMBERS, np.float32)
    for place, one in enumerate(options.activations):
        numbers[2 * place : 2 * place + 2] = one.alpha, one.beta
    numbers[-1] = options.clip
    return Record(function, matrices=matrices, vectors=(bias, np.concatenate([numbers, more])))


@dataclass(frozen=True, eq=False)
class LstmWithOptions(Lstm):
    """An LSTM layer with options, gates in ONNX order i, o, f, c; `bias` is b_ih + b_hh, float32 `[4 units]`.

    Attributes:
        options: Its options.
        peepholes: The weights of c in the gates i, o, f, float32 `[3 units]`; None: the gates do not read c.
        p: The projection, `[projected, units]`: h = P (o * h(c)); None: h = o * h(c).
        gives_c: Whether its answer is h followed by c; else it is h.
    """

    options: CellOptions
    peepholes: Floats | None = None
    p: Matrix | None = None
    gives_c: bool = False

    @property
    def form(self) -> CellOptions:
        """Its options."""
        return self.options

    @property
    def is_bounded(self) -> bool:
        """Whether h stays within [-1, 1]."""
        return self.p is None and super().is_bounded

    @property
    def units(self) -> int:
        """The number of values of c."""
        return len(self.w.codes) // 4

    def width(self, widths: Sequence[int]) -> int:
        """The length of h, and of c if the layer gives it."""
        return super().width(widths) + self.units * self.gives_c

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """One step; the answer is h, followed by c if the layer gives it."""
        h, after = super().step(state, *x)
        return np.concatenate(after) if self.gives_c else h, after

    def initial(self) -> State:
        """Zeros: h has the projected size, c has one value per unit."""
        return np.zeros(self.hidden, np.float32), np.zeros(self.units, np.float32)

    def next_state(self, x: Floats, *state: Floats) -> State:
        """The equations of the ONNX LSTM, and the projection.

        Raises:
            ChunkError: h or c leaves 2^64.
        """
        with np.errstate(all="ignore"):  # values that are not finite are refused
            sums = affine(self.w, self.bias, x) + product(self.r, state[0])
            output, cell = lstm_step(self.options, sums, state[1], self.peepholes)
            h = check_range(without_tiny(output))
            return h if self.p is None else check_range(without_tiny(product(self.p, h))), cell

    def record(self) -> Record:
        """The options, the matrices w, r and p, the bias and the peepholes."""
        matrices = (self.w, self.r) if self.p is None else (self.w, self.r, self.p)
        more = np.zeros(0, np.float32) if self.peepholes is None else self.peepholes
        flags = PEEPHOLES * (self.peepholes is not None) | GIVES_C * self.gives_c
        return _record(self.options, flags, matrices, self.bias, more)


@dataclass(frozen=True, eq=False)
class GruWithOptions(Gru):
    """A GRU layer with options, gates in ONNX order z, r, n.

    Attributes:
        bias: b_ih + b_hh of z and r, b_ih of n; float32 `[3 hidden]`. With `reset_first` b_ih + b_hh of n.
        candidate_bias: b_hh of n, `[hidden]`; zeros with `reset_first`.
        options: Its options.
    """

    options: CellOptions

    @property
    def form(self) -> CellOptions:
        """Its options."""
        return self.options

    def next_state(self, x: Floats, *state: Floats) -> State:
        """The equations of the ONNX GRU.

        Raises:
            ChunkError: The reset gate, its product with h, or h leaves 2^64.
        """
        with np.errstate(all="ignore"):  # values that are not finite are refused
            return (gru_step(self, x, state[0]),)

    def record(self) -> Record:
        """The options, the matrices w and r, and both biases."""
        return _record(self.options, 0, (self.w, self.r), self.bias, self.candidate_bias)


@dataclass(frozen=True, eq=False)
class RnnWithOptions(Cell):
    """A plain RNN layer with options; `bias` is b_ih + b_hh, float32 `[hidden]`."""

    kind: ClassVar[CellKind] = RNN

    w: Matrix
    r: Matrix
    bias: Floats
    h: Slot
    options: CellOptions

    @property
    def form(self) -> CellOptions:
        """Its options."""
        return self.options

    def next_state(self, x: Floats, *state: Floats) -> State:
        """The equation of the ONNX RNN.

        Raises:
            ChunkError: h leaves 2^64.
        """
        with np.errstate(all="ignore"):  # values that are not finite are refused
            return (rnn_step(self.options, affine(self.w, self.bias, x) + product(self.r, state[0])),)

    def record(self) -> Record:
        """The options, the matrices w and r, and the bias."""
        return _record(self.options, 0, (self.w, self.r), self.bias, np.zeros(0, np.float32))


# Those that another operator may run: backward, or inside a frame. A plan numbers them from 1.
FLOAT_CELLS: tuple[type[Cell], ...] = (
    *(Lstm, Gru, Rnn, LstmProjected),
    *(LstmWithOptions, GruWithOptions, RnnWithOptions),
)


def record_of_cell(cell: Cell, *counts: int) -> Record:
    """Return the record of an operator that runs a cell: that of the cell, with the number of its kind and counts."""
    return replace(cell.record(), counts=(FLOAT_CELLS.index(type(cell)) + 1, *counts))
