"""Constants of a graph as the engine takes them."""

import numpy as np
import onnx

from ..arrays import Array, Floats
from ..graph import attributes
from ..tracing import FEATURE, ONE, Quantized, Signal, Trace, Value, unsupported


def dequantize(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Read int8 codes and their scales; nothing is left of it at run time."""
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


def weights_of(trace: Trace, node: onnx.NodeProto, position: int) -> Quantized:
    """Return an input that must be int8 weights."""
    value = trace.values.get(node.input[position])
    if isinstance(value, Quantized):
        return value
    raise unsupported(
        node, f"its weight {node.input[position]!r} is not int8; quantize the file with `tidegate quantize`"
    )


def bias_of(trace: Trace, node: onnx.NodeProto, position: int, rows: int) -> Floats:
    """Return a constant bias, zeros when there is none; subnormal and tiny values become zero."""
    if position >= len(node.input) or node.input[position] == "":
        return np.zeros(rows, np.float32)
    bias = trace.constant(node, position)
    if bias is None:
        raise unsupported(node, f"its bias {node.input[position]!r} is not constant")
    if bias.size != 1 and (bias.size, bias.shape[-1]) != (rows, rows):
        raise unsupported(node, f"its bias {node.input[position]!r} has shape {bias.shape}, wanted {rows} values")
    return flushed(node, np.broadcast_to(np.ravel(bias), rows))


def flushed(node: onnx.NodeProto, values: Array) -> Floats:
    """Return constants as the engine takes them: float32, at most 2^60, tiny ones zero."""
    values = values.astype(np.float32)
    if not np.all(np.abs(values) <= np.float32(2.0**60)):
        raise unsupported(node, "a constant or bias is not finite or above 2^60")
    return np.where(np.abs(values) < np.float32(2.0**-60), np.float32(0), values)


def along_features(trace: Trace, node: onnx.NodeProto, constant: Array, signal: Signal) -> tuple[Floats, Signal]:
    """Return a constant operand as one value a feature, and the signal with the axes of the result."""
    width = trace.widths[signal.value]
    axes = (ONE,) * (constant.ndim - len(signal.axes)) + signal.axes
    if constant.size == 1:
        return flushed(node, np.broadcast_to(np.ravel(constant), width)), Signal(signal.value, axes)
    sizes = (1,) * (len(axes) - constant.ndim) + constant.shape
    if constant.size != width or FEATURE not in axes or sizes[axes.index(FEATURE)] != width:
        raise unsupported(
            node, f"its constant {list(constant.shape)} must have one value or {width}, along the features"
        )
    return flushed(node, np.ravel(constant)), Signal(signal.value, axes)
