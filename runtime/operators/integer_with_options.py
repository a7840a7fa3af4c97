"""Recurrent layers without floats that have options: a clip, coupled gates, peepholes, the reset gate first.

The record's function has the flags of `cells_with_options`. The first count is the clip, the second the exponent of the
peepholes, which follow the exponents of c.
"""

from dataclasses import dataclass

import numpy as np

from ..arrays import Floats
from .base import Record, State
from .cells_with_options import COUPLED, PEEPHOLES, RESET_FIRST
from .integer import IntegerGru, IntegerLstm, IntegerOptions, integer_gru_step, integer_lstm_step


@dataclass(frozen=True, eq=False)
class IntegerLstmWithOptions(IntegerLstm):
    """An LSTM layer with options, of sigmoid and tanh."""

    options: IntegerOptions

    def next_state(self, x: Floats, *state: Floats) -> State:
        """The equations of the ONNX LSTM."""
        return integer_lstm_step(self, x, state, self.options)

    def record(self) -> Record:
        """The options, the matrices w and r, the bias, the exponents of c and the peepholes."""
        own = self.options
        flags = COUPLED * own.coupled | PEEPHOLES * (own.peepholes is not None)
        more = np.zeros(0, np.int64) if own.peepholes is None else own.peepholes
        vectors = (self.bias, np.concatenate([self.exponents, more]))
        return Record(flags, (own.clip, own.exponent), matrices=(self.w, self.r), vectors=vectors)


@dataclass(frozen=True, eq=False)
class IntegerGruWithOptions(IntegerGru):
    """A GRU layer whose reset gate comes before the product, of sigmoid and tanh; `bias` has both biases of all gates.

    `candidate_bias` is not used.
    """

    options: IntegerOptions

    def next_state(self, x: Floats, *state: Floats) -> State:
        """The equations of the ONNX GRU."""
        return (integer_gru_step(self, x, state[0], self.options),)

    def record(self) -> Record:
        """The options, the matrices w and r, and the bias."""
        return Record(RESET_FIRST, (self.options.clip,), matrices=(self.w, self.r), vectors=(self.bias,))
