"""The operators of the engine in one list: lowering, specification, plans and tests use it.

A family of operators is a module here and one or more files in kernels/operators/. OPERATORS has the order of
kernels/src/operators.inc; the place of an operator in it is its kind in a plan. The `step` of an operator is the
specification of its kernel.
"""

from ..contract import HIDDEN, Slot
from .base import FloatOperator, Operator, Record, State
from .blocks import Align, Backward, BlockStart
from .cells_with_options import GruWithOptions, LstmWithOptions, RnnWithOptions
from .embedding import Embedding
from .folded import Folded
from .fourier import Fourier
from .frame import Convolution, Depthwise, Geometry, Take
from .integer import IntegerAffine, IntegerGru, IntegerLinear, IntegerLstm, IntegerMap
from .integer_with_options import IntegerGruWithOptions, IntegerLstmWithOptions
from .linear import Linear
from .over_features import LayerNorm, Reduce, Softmax
from .pointwise import Binary, Elementwise, Map
from .recurrent import Cell, Gru, Lstm, LstmProjected, Rnn, is_hidden
from .select import Concat, Last, LastCell, Slice
from .steady import Constant, Static
from .window import Window

OPERATORS: tuple[type[Operator], ...] = (
    Lstm,
    Linear,
    Elementwise,
    Last,
    Gru,
    Rnn,
    Map,
    Binary,
    Reduce,
    Softmax,
    LayerNorm,
    Slice,
    Concat,
    Embedding,
    Window,
    LstmProjected,
    Backward,
    Align,
    BlockStart,
    IntegerLstm,
    IntegerGru,
    IntegerLinear,
    IntegerAffine,
    IntegerMap,
    LastCell,
    LstmWithOptions,
    GruWithOptions,
    RnnWithOptions,
    Take,
    Convolution,
    Depthwise,
    Constant,
    Static,
    IntegerLstmWithOptions,
    IntegerGruWithOptions,
    Folded,
    Fourier,
)

__all__ = [
    "HIDDEN",
    "OPERATORS",
    "Align",
    "Backward",
    "Binary",
    "BlockStart",
    "Cell",
    "Concat",
    "Constant",
    "Convolution",
    "Depthwise",
    "Elementwise",
    "Embedding",
    "FloatOperator",
    "Folded",
    "Fourier",
    "Geometry",
    "Gru",
    "GruWithOptions",
    "IntegerAffine",
    "IntegerGru",
    "IntegerGruWithOptions",
    "IntegerLinear",
    "IntegerLstm",
    "IntegerLstmWithOptions",
    "IntegerMap",
    "Last",
    "LastCell",
    "LayerNorm",
    "Linear",
    "Lstm",
    "LstmProjected",
    "LstmWithOptions",
    "Map",
    "Operator",
    "Record",
    "Reduce",
    "Rnn",
    "RnnWithOptions",
    "Slice",
    "Slot",
    "Softmax",
    "State",
    "Static",
    "Take",
    "Window",
    "is_hidden",
]
