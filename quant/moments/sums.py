"""The sums of products inside an operator: which rows of which matrices they add up, and where their bias lies.

A rounding error in one matrix of a sum can be made up for in the others, and what the error adds on average in the
bias. Gates of an LSTM are sums over W x and R h; the candidate of a GRU holds two sums, since its reset gate lies
between them.
"""

from dataclasses import dataclass

from ...runtime.operators import Gru, Linear, Lstm, LstmProjected, Operator, Rnn
from ...runtime.operators.matrix import Matrix


@dataclass(frozen=True)
class Sum:
    """Rows of one or two matrices of an operator that are added up.

    Attributes:
        gate: Which gate they make, in ONNX's letters; `y` where there are no gates.
        matrices: The fields of the operator that hold the matrices; what they read stands side by side.
        rows: Their rows.
        bias: The field that holds the bias; empty where there is none.
        bias_rows: The rows of the bias.
    """

    gate: str
    matrices: tuple[str, ...]
    rows: slice
    bias: str
    bias_rows: slice


def sums_of(op: Operator) -> tuple[Sum, ...]:
    """Return the sums of an operator, in the order in which its gradients come; none where there are no products."""
    if isinstance(op, Lstm | LstmProjected):
        gates = tuple(_plain(gate, ("w", "r"), rows) for gate, rows in _gates(op.kind.gates, op.w))
        return (
            (*gates, Sum("p", ("p",), slice(0, len(op.p.codes)), "", slice(0)))
            if isinstance(op, LstmProjected)
            else gates
        )
    if isinstance(op, Gru):
        update, reset, candidate = _gates(op.kind.gates, op.w)
        own = Sum("h", ("r",), candidate[1], "candidate_bias", slice(0, op.hidden))
        return (
            _plain(update[0], ("w", "r"), update[1]),
            _plain(reset[0], ("w", "r"), reset[1]),
            _plain("h", ("w",), candidate[1]),
            own,
        )
    if isinstance(op, Rnn):
        return (_plain("y", ("w", "r"), slice(0, op.hidden)),)
    if isinstance(op, Linear):
        return (_plain("y", ("w",), slice(0, len(op.w.codes))),)
    return ()


def matrix(op: Operator, field: str) -> Matrix:
    """Return a matrix of an operator by its field."""
    found: Matrix = getattr(op, field)
    return found


def _gates(letters: str, w: Matrix) -> list[tuple[str, slice]]:
    units = len(w.codes) // len(letters)
    return [(letter, slice(i * units, (i + 1) * units)) for i, letter in enumerate(letters)]


def _plain(gate: str, matrices: tuple[str, ...], rows: slice) -> Sum:
    return Sum(gate, matrices, rows, "bias", rows)
