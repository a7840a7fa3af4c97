"""The sums of products inside an operator: the output channels that are added up, and their bias.

The codes of one matrix of a sum can make up for rounding errors in another, and the bias for their mean. Each gate of
an LSTM is one sum, W x + R h. The candidate of a GRU has two sums, since its reset gate multiplies one of them; one if
the reset gate comes first and multiplies h.
"""

from dataclasses import dataclass

from ...runtime.operators import Convolution, Gru, Linear, Lstm, LstmProjected, Operator, Rnn, RnnWithOptions
from ...runtime.operators.matrix import Matrix
from ..observing.layers import layer_of

RESET_H = "reset h"  # what R multiplies in the candidate of a GRU whose reset gate comes before the product


@dataclass(frozen=True)
class Sum:
    """Output channels of one or two matrices of an operator, whose products are added up.

    Attributes:
        gate: The gate that they make, in ONNX's letters; `y` if there are no gates.
        matrices: The operator's fields that hold the matrices.
        reads: What each matrix multiplies, as `replay` names it: side by side, the inputs of the sum.
        channels: The output channels of each matrix.
        bias: The operator's field that holds the bias; empty if there is none.
        bias_channels: The part of the bias that belongs to the sum.
    """

    gate: str
    matrices: tuple[str, ...]
    reads: tuple[str, ...]
    channels: slice
    bias: str
    bias_channels: slice


def sums_of(op: Operator) -> tuple[Sum, ...]:
    """Return the sums of an operator, in the order of the gradients of `replay`; none if it has no products."""
    op = layer_of(op)
    if isinstance(op, Lstm | LstmProjected):
        gates = tuple(_plain(gate, ("w", "r"), rows) for gate, rows in _gates(op.kind.gates, op.w))
        p: Matrix | None = getattr(op, "p", None)
        return gates if p is None else (*gates, Sum("p", ("p",), ("p",), slice(0, len(p.codes)), "", slice(0)))
    if isinstance(op, Gru):
        update, reset, candidate = _gates(op.kind.gates, op.w)
        first = _plain(update[0], ("w", "r"), update[1]), _plain(reset[0], ("w", "r"), reset[1])
        if op.form.reset_first:
            return *first, Sum("h", ("w", "r"), ("w", RESET_H), candidate[1], "bias", candidate[1])
        own = Sum("h", ("r",), ("r",), candidate[1], "candidate_bias", slice(0, op.hidden))
        return *first, _plain("h", ("w",), candidate[1]), own
    if isinstance(op, Rnn | RnnWithOptions):
        return (_plain("y", ("w", "r"), slice(0, op.hidden)),)
    if isinstance(op, Linear | Convolution):
        return (_plain("y", ("w",), slice(0, len(op.w.codes))),)
    return ()


def matrix(op: Operator, field: str) -> Matrix:
    """Return a matrix of an operator by its field."""
    found: Matrix = getattr(layer_of(op), field)
    return found


def _gates(letters: str, w: Matrix) -> list[tuple[str, slice]]:
    units = len(w.codes) // len(letters)
    return [(letter, slice(i * units, (i + 1) * units)) for i, letter in enumerate(letters)]


def _plain(gate: str, matrices: tuple[str, ...], channels: slice) -> Sum:
    return Sum(gate, matrices, matrices, channels, "bias", channels)
