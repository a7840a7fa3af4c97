"""Operators over all features of a frame; batch normalization becomes constants."""

from dataclasses import replace

import numpy as np
import onnx

from ..arrays import Array, Floats
from ..graph.nodes import attributes
from ..operators import Binary, Elementwise, LayerNorm, Map, Reduce, Softmax
from .trace import Handler, Trace, unsupported
from .values import BATCH, FEATURE, ONE, Signal, Value
from .weights import flushed

REDUCTIONS = {
    "ReduceSum": "sum",
    "ReduceMean": "mean",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceSumSquare": "sum_square",
    "ReduceL2": "l2",
}
SAME_OF_ONE = {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"}
SOFTMAXES = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}
AXIS_IS_LAST = 13  # from this operator set on, a softmax has one axis, by default the last


def _over_features(trace: Trace, node: onnx.NodeProto, axes: list[int]) -> Signal:
    """Return the input signal; refuse axes other than its features."""
    signal = trace.signal(node)
    named = [signal.axes[a] for a in axes if -len(signal.axes) <= a < len(signal.axes)]
    if named != [FEATURE] or len(axes) != 1:
        raise unsupported(node, f"it works along axes {axes} of ({', '.join(signal.axes)}), wanted only the features")
    return signal


def _reduce(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    numbers, kept = trace.integers(node, 1, "axes") or [], attributes(node).get("keepdims", 1)
    signal = trace.signal(node)
    along = {a % len(signal.axes) for a in numbers if -len(signal.axes) <= a < len(signal.axes)}
    axes = signal.axes if kept else tuple(axis for i, axis in enumerate(signal.axes) if i not in along)
    if along and {signal.axes[a] for a in along} <= {ONE, BATCH} and node.op_type in SAME_OF_ONE:
        return [replace(signal, axes=axes)]
    _over_features(trace, node, numbers)
    return [Signal(trace.emit(Reduce((signal.value,), REDUCTIONS[node.op_type])), axes)]


def _softmax(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    axis = attributes(node).get("axis", -1 if trace.graph.opset() >= AXIS_IS_LAST else 1)
    signal = _over_features(trace, node, [axis])
    if trace.graph.opset() < AXIS_IS_LAST and signal.axes[-1] != FEATURE:
        raise unsupported(node, f"operator set {trace.graph.opset()} works along several axes, wanted features last")
    return [replace(signal, value=trace.emit(Softmax((signal.value,), SOFTMAXES[node.op_type])))]


def _layer_norm(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    given = attributes(node)
    signal = _over_features(trace, node, [given.get("axis", -1)])
    if signal.axes[-1] != FEATURE:
        raise unsupported(node, f"its input has axes ({', '.join(signal.axes)}), wanted features last")
    scale, bias = (_vector(trace, node, i, signal, default) for i, default in ((1, 1.0), (2, 0.0)))
    epsilon = float(flushed(node, np.asarray(given.get("epsilon", 1e-5))))
    return [replace(signal, value=trace.emit(LayerNorm((signal.value,), scale, bias, epsilon)))]


def _rms_norm(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Divide by the root of the mean square, then multiply by the scale."""
    given = attributes(node)
    signal = _over_features(trace, node, [given.get("axis", -1)])
    if signal.axes[-1] != FEATURE:
        raise unsupported(node, f"its input has axes ({', '.join(signal.axes)}), wanted features last")
    scale = _vector(trace, node, 1, signal, 1.0)
    mean = trace.emit(Reduce((trace.emit(Map((signal.value,), "square")),), "mean"))
    moved = trace.emit(Elementwise((mean,), "add", flushed(node, np.asarray([given.get("epsilon", 1e-5)]))))
    normal = trace.emit(Binary((signal.value, trace.emit(Map((moved,), "sqrt"))), "div"))
    return [replace(signal, value=trace.emit(Elementwise((normal,), "mul", scale)))]


def _vector(trace: Trace, node: onnx.NodeProto, position: int, signal: Signal, default: float) -> Array:
    width = trace.widths[signal.value]
    if position >= len(node.input) or node.input[position] == "":
        return np.full(width, default, np.float32)
    values = trace.constant(node, position)
    if values is None or values.size not in (1, width):
        raise unsupported(node, f"its input {node.input[position]!r} is not a constant of one value or {width}")
    return flushed(node, np.broadcast_to(np.ravel(values), width))


def _batch_norm(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Fold mean and variance into a scale and a shift, computed in float64 and rounded once."""
    signal = _over_features(trace, node, [1])
    gain, shift = gain_and_shift(node, *(_vector(trace, node, i, signal, 0.0) for i in range(1, 5)))
    value = trace.emit(Elementwise((signal.value,), "mul", gain))
    return [replace(signal, value=trace.emit(Elementwise((value,), "add", shift)))]


def gain_and_shift(
    node: onnx.NodeProto, scale: Floats, bias: Floats, mean: Floats, variance: Floats
) -> tuple[Floats, Floats]:
    """Return what a batch normalization multiplies by and adds, computed in float64 and rounded once.

    Raises:
        UnsupportedError: It is in training mode.
    """
    given = attributes(node)
    if given.get("training_mode", 0):
        raise unsupported(node, "it is in training mode; export the model in eval mode")
    gain = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + given.get("epsilon", 1e-5))
    return flushed(node, gain), flushed(node, bias - mean * gain)


def _lp_norm(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Divide by the norm; a frame of zeros stays zero, since the norm is at least 2^-60."""
    given = attributes(node)
    if given.get("p", 2) != 2:
        raise unsupported(node, f"p is {given['p']}, wanted 2")
    signal = _over_features(trace, node, [given.get("axis", -1)])
    norm = trace.emit(Reduce((signal.value,), "l2"))
    norm = trace.emit(Elementwise((norm,), "max", np.full(1, 2.0**-60, np.float32)))
    return [replace(signal, value=trace.emit(Binary((signal.value, norm), "div")))]


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(SOFTMAXES, _softmax),
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    "BatchNormalization": _batch_norm,
    "LpNormalization": _lp_norm,
}
