"""Recurrent nodes: LSTM, GRU, RNN and the Scan of a projected LSTM."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import onnx

from ..arrays import Floats
from ..cells import CELLS, GRU, LSTM, RNN, CellOptions
from ..graph.cell_options import PEEPHOLES, cell_options
from ..graph.nodes import attributes, is_backward
from ..graph.projected_lstm import with_weights
from ..operators import (
    HIDDEN,
    Backward,
    Cell,
    Gru,
    GruWithOptions,
    Lstm,
    LstmProjected,
    LstmWithOptions,
    Rnn,
    RnnWithOptions,
    Slice,
    Slot,
)
from ..operators.matrix import Matrix, Reading
from .sequences import Sequence, final_state, folded_answers, sequence_of, start_sizes
from .trace import LIFT, Handler, Trace, unsupported
from .values import BATCH, FEATURE, ONE, TIME, Carried, CellOf, Final, Signal, Value, Weights
from .weights import bias_of, flushed, matrix_of, weights_of

SEQUENCE_LENS = 4  # its position among the inputs
_Cell = TypeVar("_Cell", Lstm, Gru, Rnn, RnnWithOptions)


def lstm(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """An LSTM."""
    read = sequence_of(trace, node)
    _check_options(node)
    options, peepholes = cell_options(node), _peepholes(trace, node)
    w, r, halves = _cell_weights(trace, node, read)
    h, c = (_start(trace, node, position, read, r.codes.shape[1]) for position in (5, 6))
    parts = (read.value,), w, r, flushed(node, halves[0] + halves[1]), h, c
    gives_c = _gives_c(trace, read, node.output[2:3])
    plain = options == LSTM.plain and peepholes is None and not gives_c
    layer = Lstm(*parts) if plain else LstmWithOptions(*parts, options, peepholes, gives_c=gives_c)
    return _lstm_answers(trace, node, _with_reading(layer), read)


def _gives_c(trace: Trace, read: Sequence, final_c: Iterable[str]) -> bool:
    """Return whether an answer needs c of every frame: with backward directions, the last frame of a block may come."""
    return read.is_plain and trace.blocks is not None and not trace.answered.isdisjoint(final_c)


def _peepholes(trace: Trace, node: onnx.NodeProto) -> Floats | None:
    """Return the weights of c in the gates i, o, f; None if there are none."""
    if len(node.input) <= PEEPHOLES or not node.input[PEEPHOLES]:
        return None
    hidden = weights_of(trace, node, 2).codes.shape[-1]
    return bias_of(trace, node, PEEPHOLES, 3 * hidden)


def scan(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """An LSTM with projection, which is a Scan in ONNX; see `runtime.graph.projected_lstm`."""
    lstm = with_weights(node)
    if lstm is None:
        raise unsupported(node, "its body is not the step of an LSTM with projection as `tidegate export` writes it")
    read = sequence_of(trace, lstm)
    weights = [weights_of(trace, lstm, position) for position in (1, 2, 3)]
    hidden, projected = weights[2].codes.shape
    w = matrix_of(lstm, weights[0], 1, read.features, trace.reading(read.value))
    r = matrix_of(lstm, weights[1], 1, projected, Reading.FRAME)
    p = matrix_of(lstm, weights[2], 1, hidden, Reading.HIDDEN)
    wanted = len(LstmProjected.kind.gates) * hidden
    if (rows := {w.codes.shape[0], r.codes.shape[0]}) != {wanted}:
        raise unsupported(node, f"its weights have {sorted(rows)} rows, wanted {wanted} for {hidden} units")
    h, c = _start(trace, lstm, 5, read, projected), _start(trace, lstm, 6, read, hidden)
    gives_c = _gives_c(trace, read, node.output[1:2])
    layer = _projected(trace, lstm, (read.value,), (w, r, p), (h, c), gives_c=gives_c)
    y, last_h, last_c = _lstm_answers(trace, lstm, layer, read)
    return [last_h, last_c, y]


def _projected(
    trace: Trace,
    lstm: onnx.NodeProto,
    inputs: tuple[int, ...],
    matrices: tuple[Matrix, Matrix, Matrix],
    slots: tuple[Slot, Slot],
    *,
    gives_c: bool,
) -> LstmProjected | LstmWithOptions:
    """Return an LSTM with projection, with options if it has any."""
    (w, r, p), hidden = matrices, matrices[2].codes.shape[1]
    options, bias = cell_options(lstm), bias_of(trace, lstm, 4, 4 * hidden)
    peepholes = bias_of(trace, lstm, PEEPHOLES, 3 * hidden) if len(lstm.input) > PEEPHOLES else None
    if options == LSTM.plain and peepholes is None and not gives_c:
        return LstmProjected(inputs, w, r, p, bias, *slots)
    layer = LstmWithOptions(inputs, w, r, bias, *slots, options, peepholes, gives_c=gives_c)
    if not layer.is_bounded and p.reading is Reading.HIDDEN:
        p = replace(p, reading=Reading.FRAME)
    return replace(layer, p=p)


def _lstm_answers(
    trace: Trace, node: onnx.NodeProto, layer: Lstm | LstmProjected | LstmWithOptions, read: Sequence
) -> list[Value]:
    """Emit an LSTM in its direction; return its answers Y, Y_h and Y_c. A c that no answer needs has no value."""
    if not read.is_plain:
        return [*folded_answers(trace, node, layer, read), final_state(layer.c)]
    made, units = _emitted(trace, node, layer), len(layer.w.codes) // 4
    h, c = (HIDDEN, HIDDEN) if is_backward(node) else layer.slots
    if getattr(layer, "gives_c", False):
        last_c = trace.emit(Slice((made,), layer.hidden, units))
        made = trace.emit(Slice((made,), 0, layer.hidden))
        return [*_cell_answers(made, h), Final((last_c,), (c,), (ONE, BATCH, FEATURE))]
    of_layer = None if is_backward(node) else CellOf(made, units)
    return [*_cell_answers(made, h), Final((of_layer,), (c,), (ONE, BATCH, FEATURE))]


def gru(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """A GRU; with the reset gate first, all its gates add both biases."""
    read = sequence_of(trace, node)
    _check_options(node)
    options = cell_options(node)
    w, r, (bias, own) = _cell_weights(trace, node, read)
    h = _start(trace, node, 5, read, r.codes.shape[1])
    gates = (3 if options.reset_first else 2) * r.codes.shape[1]
    joined = np.concatenate([bias[:gates] + own[:gates], bias[gates:]])
    candidate = np.zeros(r.codes.shape[1], np.float32) if options.reset_first else own[gates:]
    parts = (read.value,), w, r, flushed(node, joined), candidate, h
    layer = Gru(*parts) if options == GRU.plain else GruWithOptions(*parts, options)
    return _answers(trace, node, _with_reading(layer), read)


def rnn(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """A plain RNN."""
    read = sequence_of(trace, node)
    _check_options(node)
    options = cell_options(node)
    w, r, halves = _cell_weights(trace, node, read)
    h = _start(trace, node, 5, read, r.codes.shape[1])
    parts = w, r, flushed(node, halves[0] + halves[1]), h
    function = options.activations[0].name
    plain = (function,) in RNN.activations and options == CellOptions(options.activations)
    if plain:
        return _answers(trace, node, _with_reading(Rnn((read.value,), function.lower(), *parts)), read)
    return _answers(trace, node, _with_reading(RnnWithOptions((read.value,), *parts, options)), read)


def _with_reading(layer: _Cell) -> _Cell:
    """Return a layer whose R reads an h without bound by the largest magnitude of each frame."""
    if layer.is_bounded or layer.r.reading is Reading.CONSTANT:
        return layer
    return replace(layer, r=replace(layer.r, reading=Reading.FRAME))


def _cell_weights(trace: Trace, node: onnx.NodeProto, read: Sequence) -> tuple[Matrix, Matrix, Floats]:
    """Return W, R for an h within [-1, 1], and the biases of both, `[2, gates * hidden]`."""
    weights, recurrent = (_first_direction(weights_of(trace, node, position)) for position in (1, 2))
    hidden, gates = recurrent.codes.shape[-1], len(CELLS[node.op_type].gates)
    if (rows := {weights.codes.shape[0], recurrent.codes.shape[0]}) != {gates * hidden}:
        raise unsupported(node, f"its weights have {sorted(rows)} rows, wanted {gates * hidden} for {hidden} units")
    w = matrix_of(node, weights, 0, read.features, trace.reading(read.value))
    r = matrix_of(node, recurrent, 0, hidden, Reading.HIDDEN)
    return w, r, bias_of(trace, node, 3, 2 * gates * hidden).reshape(2, -1)


def _answers(trace: Trace, node: onnx.NodeProto, layer: Cell, read: Sequence) -> list[Value]:
    """Emit a layer in its direction; return its answers Y and Y_h."""
    if not read.is_plain:
        return folded_answers(trace, node, layer, read)
    return _cell_answers(_emitted(trace, node, layer), HIDDEN if is_backward(node) else layer.h)


def _emitted(trace: Trace, node: onnx.NodeProto, layer: Cell) -> int:
    """Emit a layer in its direction; return its value."""
    if not is_backward(node):
        return trace.emit(layer)
    if trace.blocks is None:
        raise unsupported(node, "its direction is reverse, but the contract has no blocks; export the model again")
    return trace.emit(Backward(layer.inputs, layer, trace.blocks))


def _cell_answers(value: int, h: Slot) -> list[Value]:
    """Return the answers Y and Y_h of a recurrent node."""
    final = (ONE, BATCH, FEATURE)
    return [Signal(value, (TIME, *final)), Final((value,), (h,), final)]


def _start(trace: Trace, node: onnx.NodeProto, position: int, read: Sequence, units: int) -> Slot:
    name = node.input[position] if position < len(node.input) else ""
    value = trace.values.get(name)
    if not name and (is_backward(node) or not read.carried):
        return HIDDEN
    if isinstance(value, Carried) and len(value.slots) == 1:
        return trace.take(node, value.slots[0], *start_sizes(read, units))
    raise unsupported(node, f"it starts from {name!r}, wanted a state input", LIFT)


def _first_direction(weights: Weights) -> Weights:
    """Return weights without ONNX's axis of directions."""
    return replace(weights, codes=weights.codes[0], scales=weights.scales[0], axis=weights.axis - 1)


def _check_options(node: onnx.NodeProto) -> None:
    """Refuse what has no place in a stream; `cell_options` reads the rest."""
    if is_backward(node) and any(node.input[5:7]):
        raise unsupported(node, "it runs backward from an initial state, wanted none")
    given = attributes(node)
    direction = "reverse" if is_backward(node) else "forward"
    for key, wanted, way_out in (("direction", direction, LIFT), ("layout", 0, "export it with the time axis first")):
        if given.get(key, wanted) != wanted:
            raise unsupported(node, f"{key} is {given[key]!r}, wanted {wanted!r}", way_out)
    if len(node.input) > SEQUENCE_LENS and node.input[SEQUENCE_LENS]:
        raise unsupported(node, "it has sequence_lens")


HANDLERS: dict[str, Handler] = {"LSTM": lstm, "GRU": gru, "RNN": rnn, "Scan": scan}
