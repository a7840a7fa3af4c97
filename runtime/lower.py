"""Lowering: what each ONNX operator becomes in the engine.

A quantized streaming graph goes in, a program comes out; what the engine does not have is refused by name.
"""

import json
from dataclasses import replace

import numpy as np
import onnx

from .arrays import Array, Floats
from .errors import ModelError
from .graph import Graph, attributes
from .operators import Elementwise, Gru, Last, Linear, Lstm, Rnn, Slot
from .operators.matrix import Matrix, Reading
from .program import Program
from .tracing import (
    BATCH,
    FEATURE,
    ONE,
    TIME,
    Carried,
    Final,
    Handler,
    Quantized,
    Signal,
    Trace,
    Value,
    unsupported,
)

QUANTIZATION_KEY = "tidegate.quantization"


def lower(graph: Graph) -> Program:
    """Lower a graph to a program.

    Args:
        graph: A streaming graph whose matrices are int8 through `DequantizeLinear`.

    Raises:
        ContractError: The contract is missing, or does not fit the graph.
        UnsupportedError: The engine lacks an operator or option; the message names the node.
    """
    bits = _activation_bits(graph)
    try:
        return Trace(graph, HANDLERS, bits).run()
    except ModelError:
        raise
    except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"the graph is not valid ONNX ({type(error).__name__}: {error}); export it again") from None


def _activation_bits(graph: Graph) -> int:
    """Return the most activation bits that the file asks for; 16 when it says nothing."""
    text = graph.metadata(QUANTIZATION_KEY)
    if text is None:
        return 16
    try:
        fields = json.loads(text)
        version, bits = fields["version"], fields["activation_bits"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ModelError(f"metadata {QUANTIZATION_KEY} is not readable; quantize the file again") from None
    if version != 1 or bits not in (8, 16):
        raise ModelError(
            f"metadata {QUANTIZATION_KEY}: version {version}, activation bits {bits}; wanted 1, and 8 or 16"
        )
    return int(bits)


# ---- bookkeeping: nothing of it is left at run time ----


def _dropout(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    if np.any(trace.constant(node, 2)):
        raise unsupported(node, "it drops values at random (training_mode is true)")
    return _same(trace, node)


def _same(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    return [trace.values[node.input[0]]] if node.input[0] in trace.values else [trace.signal(node)]


def _transpose(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    signal = trace.signal(node)
    order = attributes(node).get("perm") or range(len(signal.axes))[::-1]
    return [replace(signal, axes=tuple(signal.axes[i] for i in order))]


def _squeeze(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    value = trace.values.get(node.input[0])
    if not isinstance(value, Signal | Final):
        raise unsupported(node, "its input is not a signal")
    removed = {a % len(value.axes) for a in trace.integers(node, 1, "axes") or []}
    if not removed or any(value.axes[a] not in (ONE, BATCH) for a in removed):
        raise unsupported(node, f"it removes axes {sorted(removed)} of ({', '.join(value.axes)})")
    return [replace(value, axes=tuple(a for i, a in enumerate(value.axes) if i not in removed))]


def _unsqueeze(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    signal = trace.signal(node)
    added = trace.integers(node, 1, "axes") or []
    axes = list(signal.axes)
    for a in sorted(a % (len(axes) + len(added)) for a in added):
        axes.insert(a, ONE)
    return [replace(signal, axes=tuple(axes))]


def _gather(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """One index on an axis: the last frame of time, or a layer of a final state."""
    index = trace.constant(node, 1)
    axis = int(attributes(node).get("axis", 0))
    if index is None or index.ndim != 0:
        raise unsupported(node, "the engine takes one constant index")
    value = trace.values.get(node.input[0])
    if isinstance(value, Final) and axis == 0:
        return [_final_layer(node, value, int(index))]
    signal = trace.signal(node)
    rest = tuple(a for i, a in enumerate(signal.axes) if i != axis % len(signal.axes))
    if signal.axes[axis] == TIME and int(index) == -1:
        return [Signal(trace.emit(Last((signal.value,))), rest)]
    if signal.axes[axis] in (ONE, BATCH) and int(index) in (0, -1):
        return [replace(signal, axes=rest)]
    raise unsupported(node, f"it takes index {int(index)} of the {signal.axes[axis]} axis, wanted the last frame (-1)")


def _final_layer(node: onnx.NodeProto, final: Final, index: int) -> Final:
    if not -len(final.values) <= index < len(final.values):
        raise unsupported(node, f"it takes layer {index} of {len(final.values)}")
    return Final((final.values[index],), (final.slots[index],), final.axes[1:])


def _split(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    value = trace.values.get(node.input[0])
    if not isinstance(value, Carried) or int(attributes(node).get("axis", 0)) != 0:
        raise unsupported(node, "the engine splits states alone, along layers")
    sizes = trace.integers(node, 1, "split") or [1] * len(node.output)
    if sizes != [1] * len(value.slots):
        raise unsupported(node, f"it splits {len(value.slots)} layers into {sizes}, wanted one each")
    return [Carried((slot,)) for slot in value.slots]


def _concat(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    finals = [trace.values.get(name) for name in node.input]
    if not all(isinstance(f, Final) for f in finals) or int(attributes(node)["axis"]) != 0:
        raise unsupported(node, "the engine joins states alone, along layers")
    parts = [f for f in finals if isinstance(f, Final)]
    values = tuple(v for f in parts for v in f.values)
    return [Final(values, tuple(s for f in parts for s in f.slots), parts[0].axes)]


# ---- weights ----


def _dequantize(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    codes, scales, zero = (trace.constant(node, i) for i in range(3))
    if codes is None or scales is None or (zero is None and any(node.input[2:])):
        raise unsupported(node, "the engine takes constant int8 weights and scales")
    if codes.dtype != np.int8 or (zero is not None and np.any(zero)):
        raise unsupported(node, f"weights are {codes.dtype}, wanted int8 with zero point 0")
    if scales.ndim > 1 or attributes(node).get("block_size", 0):
        raise unsupported(node, "scales by blocks; the engine takes one a row")
    if np.any(codes == -128):
        raise unsupported(node, "a weight code is -128, wanted -127 to 127")
    if not np.all((scales >= 2.0**-40) & (scales <= 2.0**40)):
        raise unsupported(node, "a weight scale lies outside [2^-40, 2^40]")
    axis = int(attributes(node).get("axis", 1)) % codes.ndim
    return [Quantized(codes, scales.astype(np.float32), axis)]


def _weights(trace: Trace, node: onnx.NodeProto, position: int) -> Quantized:
    value = trace.values.get(node.input[position])
    if isinstance(value, Quantized):
        return value
    raise unsupported(
        node, f"its weight {node.input[position]!r} is not int8; quantize the file with `tidegate quantize`"
    )


def _bias(trace: Trace, node: onnx.NodeProto, position: int, rows: int) -> Floats:
    """Return a constant bias, zeros when there is none; subnormal and tiny values become zero."""
    if position >= len(node.input) or node.input[position] == "":
        return np.zeros(rows, np.float32)
    bias = trace.constant(node, position)
    if bias is None:
        raise unsupported(node, f"its bias {node.input[position]!r} is not constant")
    if bias.size != 1 and (bias.size, bias.shape[-1]) != (rows, rows):
        raise unsupported(node, f"its bias {node.input[position]!r} has shape {bias.shape}, wanted {rows} values")
    return _flushed(node, np.broadcast_to(np.ravel(bias), rows))


def _flushed(node: onnx.NodeProto, values: Array) -> Floats:
    """Return constants as the engine takes them: float32, at most 2^60, tiny ones zero."""
    values = values.astype(np.float32)
    if not np.all(np.abs(values) <= np.float32(2.0**60)):
        raise unsupported(node, "a constant or bias is not finite or above 2^60")
    return np.where(np.abs(values) < np.float32(2.0**-60), np.float32(0), values)


# ---- operations ----


def _lstm(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    value, activations = _sequence(trace, node), _activations(node, "sigmoid", "tanh", "tanh")
    _check_options(node, input_forget=0)
    if activations != ("sigmoid", "tanh", "tanh"):
        raise unsupported(node, f"activations are {', '.join(activations)}, wanted sigmoid, tanh, tanh")
    w, r, halves = _cell_weights(trace, node, value, Reading.HIDDEN, 4)
    h, c = (_start(trace, node, position, r.codes.shape[1]) for position in (5, 6))
    made = trace.emit(Lstm((value,), w, r, _flushed(node, halves[0] + halves[1]), h, c))
    return [*_cell_answers(made, h), Final((None,), (c,), (ONE, BATCH, FEATURE))]


def _gru(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    value, activations = _sequence(trace, node), _activations(node, "sigmoid", "tanh")
    _check_options(node)
    if activations != ("sigmoid", "tanh"):
        raise unsupported(node, f"activations are {', '.join(activations)}, wanted sigmoid, tanh")
    if attributes(node).get("linear_before_reset", 0) != 1:
        raise unsupported(node, "linear_before_reset is 0, wanted 1, the form of PyTorch and cuDNN")
    w, r, (bias, own) = _cell_weights(trace, node, value, Reading.HIDDEN, 3)
    h = _start(trace, node, 5, r.codes.shape[1])
    gates = 2 * r.codes.shape[1]  # those that add both biases: z and r
    joined = np.concatenate([bias[:gates] + own[:gates], bias[gates:]])
    return _cell_answers(trace.emit(Gru((value,), w, r, _flushed(node, joined), own[gates:], h)), h)


def _rnn(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    value, activations = _sequence(trace, node), _activations(node, "tanh")
    _check_options(node)
    if activations not in (("tanh",), ("relu",)):
        raise unsupported(node, f"activations are {', '.join(activations)}, wanted tanh or relu")
    reading = Reading.FRAME if activations == ("relu",) else Reading.HIDDEN
    w, r, halves = _cell_weights(trace, node, value, reading, 1)
    h = _start(trace, node, 5, r.codes.shape[1])
    bias = _flushed(node, halves[0] + halves[1])
    return _cell_answers(trace.emit(Rnn((value,), activations[0], w, r, bias, h)), h)


def _sequence(trace: Trace, node: onnx.NodeProto) -> int:
    """Return the value that a recurrent node reads."""
    signal = trace.signal(node)
    if tuple(a if a != ONE else BATCH for a in signal.axes) != (TIME, BATCH, FEATURE):
        raise unsupported(node, f"its input has axes ({', '.join(signal.axes)}), wanted (time, batch, feature)")
    return signal.value


def _cell_weights(
    trace: Trace, node: onnx.NodeProto, value: int, own: Reading, gates: int
) -> tuple[Matrix, Matrix, Floats]:
    """Return W, R, which reads h by `own`, and the biases of both, `[2, rows]`."""
    weights, recurrent = (_first_direction(_weights(trace, node, position)) for position in (1, 2))
    hidden = recurrent.codes.shape[-1]
    if (rows := {weights.codes.shape[0], recurrent.codes.shape[0]}) != {gates * hidden}:
        raise unsupported(node, f"its weights have {sorted(rows)} rows, wanted {gates * hidden} for {hidden} units")
    w = trace.matrix(node, weights, 0, trace.widths[value], trace.reading(value))
    r = trace.matrix(node, recurrent, 0, hidden, own)
    return w, r, _bias(trace, node, 3, 2 * gates * hidden).reshape(2, -1)


def _cell_answers(value: int, h: Slot) -> list[Value]:
    """Return the answers Y and Y_h of a recurrent node."""
    final = (ONE, BATCH, FEATURE)
    return [Signal(value, (TIME, *final)), Final((value,), (h,), final)]


def _start(trace: Trace, node: onnx.NodeProto, position: int, width: int) -> Slot:
    name = node.input[position] if position < len(node.input) else ""
    value = trace.values.get(name)
    if isinstance(value, Carried) and len(value.slots) == 1:
        return trace.take(node, value.slots[0], width)
    raise unsupported(node, f"it does not start from a state input but from {name!r}; lift it with `tidegate export`")


def _first_direction(weights: Quantized) -> Quantized:
    """Drop ONNX's axis of directions."""
    return Quantized(weights.codes[0], weights.scales, weights.axis - 1)


def _activations(node: onnx.NodeProto, *default: str) -> tuple[str, ...]:
    """Return the names of a node's activation functions in lower case."""
    return tuple(_text(a).lower() for a in attributes(node).get("activations", ())) or default


def _check_options(node: onnx.NodeProto, **more: object) -> None:
    wanted = {"direction": "forward", "layout": 0, "clip": 0.0, **more}
    given = attributes(node)
    for key, value in wanted.items():
        if given.get(key, value) != value:
            raise unsupported(node, f"{key} is {given[key]!r}, wanted {value!r}")
    for position, what in ((4, "sequence_lens"), (7, "peepholes")):
        if position < len(node.input) and node.input[position]:
            raise unsupported(node, f"it has {what}")


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _gemm(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    given = attributes(node)
    if given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0 or given.get("transA", 0):
        raise unsupported(node, "alpha, beta and transA must be 1, 1 and 0")
    return [_linear(trace, node, rows_axis=0 if given.get("transB", 0) else 1)]


def _matmul(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    return [_linear(trace, node, rows_axis=1)]


def _linear(trace: Trace, node: onnx.NodeProto, rows_axis: int) -> Signal:
    signal = trace.signal(node)
    if signal.axes[-1] != FEATURE:
        raise unsupported(node, f"its input has axes ({', '.join(signal.axes)}), wanted features last")
    weights = _weights(trace, node, 1)
    if weights.codes.ndim != 2:
        raise unsupported(node, f"its weight has shape {weights.codes.shape}, wanted two axes")
    width = trace.widths[signal.value]
    matrix = trace.matrix(node, weights, rows_axis, width, trace.reading(signal.value))
    bias = _bias(trace, node, 2, matrix.codes.shape[0])
    return replace(signal, value=trace.emit(Linear((signal.value,), matrix, bias)))


def _elementwise(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    function = node.op_type.lower()
    constants = [i for i in (0, 1) if trace.constant(node, i) is not None]
    if constants != [1] and (constants != [0] or function not in ("add", "mul")):
        raise unsupported(node, "the engine takes a signal and a constant, in this order")
    signal = trace.signal(node, 1 - constants[0])
    vector = _vector(node, trace.constant(node, constants[0]), signal, trace.widths[signal.value])
    linear = _unbiased_linear(trace, signal) if function == "add" else None
    if linear is not None:
        trace.ops[-1] = replace(linear, bias=vector)
        return [signal]
    if function == "div" and not np.all(vector):
        raise unsupported(node, "it divides by zero")
    return [replace(signal, value=trace.emit(Elementwise((signal.value,), function, vector)))]


def _vector(node: onnx.NodeProto, constant: Array | None, signal: Signal, width: int) -> Floats:
    """Return a constant operand as one value a feature."""
    fits = constant is not None and (constant.size == 1 or constant.size == constant.shape[-1] == width)
    if constant is None or signal.axes[-1] != FEATURE or not fits:
        raise unsupported(node, f"its constant must have one value or {width}, along the features")
    return _flushed(node, np.broadcast_to(np.ravel(constant), width))


def _unbiased_linear(trace: Trace, signal: Signal) -> Linear | None:
    """Return the MatMul just before an Add that is its bias, if nothing else reads it."""
    last = trace.ops[-1] if signal.value == len(trace.ops) > 0 else None
    alone = trace.readers(signal.value) == 1
    return last if isinstance(last, Linear) and not np.any(last.bias) and alone else None


HANDLERS: dict[str, Handler] = {
    "Identity": _same,
    "Dropout": _dropout,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Gather": _gather,
    "Split": _split,
    "Concat": _concat,
    "DequantizeLinear": _dequantize,
    "LSTM": _lstm,
    "GRU": _gru,
    "RNN": _rnn,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _elementwise,
    "Sub": _elementwise,
    "Mul": _elementwise,
    "Div": _elementwise,
}
