"""The operators of the engine: one list, from which lowering, specification, plans and tests follow.

A family of operators is a module here and one file or more in kernels/operators/. The order of OPERATORS is
that of kernels/src/operators.inc: it gives an operator's kind in a plan. Each operator's `step` is the
specification of its kernel.
"""

from .base import FloatOperator, Operator, Record, Slot, State
from .linear import Linear
from .pointwise import Elementwise
from .recurrent import Cell, Gru, Lstm, Rnn, is_hidden
from .select import Last

OPERATORS: tuple[type[Operator], ...] = (Lstm, Linear, Elementwise, Last, Gru, Rnn)

__all__ = [
    "OPERATORS",
    "Cell",
    "Elementwise",
    "FloatOperator",
    "Gru",
    "Last",
    "Linear",
    "Lstm",
    "Operator",
    "Record",
    "Rnn",
    "Slot",
    "State",
    "is_hidden",
]
