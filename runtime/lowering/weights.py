"""Constants of a graph in the form that the engine takes: weights, matrices, biases."""

from dataclasses import replace

import numpy as np
import onnx

from ..arrays import Array, Floats
from ..operators.matrix import FLOAT, GROUP_SIZES, LARGEST_CODE, Matrix, Reading, activation_bits
from .quantized import quantized
from .trace import EXPORT_AGAIN, ONNXRUNTIME, Trace, unsupported
from .values import FEATURE, ONE, Activations, Signal, Value, Weights


def dequantize(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Read codes and their scales; a DequantizeLinear emits no operation."""
    weights = quantized(trace.graph, node)
    largest = LARGEST_CODE[weights.bits]
    if np.any(weights.codes < -largest):
        raise unsupported(node, f"a weight code is {-largest - 1}, wanted {-largest} to {largest}")
    least = -24 if weights.block and weights.scales.shape[weights.axis] > 1 else -40
    if not np.all((weights.scales >= 2.0**least) & (weights.scales <= 2.0**40)):
        raise unsupported(node, f"a weight scale lies outside [2^{least}, 2^40]")
    return [replace(weights, activations=trace.activations.get(node.output[0], Activations()))]


def weights_of(trace: Trace, node: onnx.NodeProto, position: int) -> Weights:
    """Return an input of a node as weights: codes and scales, or floats. Refuse other inputs."""
    value, values = trace.values.get(node.input[position]), trace.constant(node, position)
    known = value.codes if isinstance(value, Weights) else values
    trace.room -= known.nbytes if known is not None else 0
    if trace.room < 0:
        raise unsupported(
            node, "nodes share weights, of which a plan has a copy for each: together far more than the file has"
        )
    if isinstance(value, Weights):
        return replace(value, name=node.input[position])
    if values is None or values.dtype.kind != "f":
        raise unsupported(
            node, f"its weight {node.input[position]!r} is neither constant floats nor codes with a DequantizeLinear"
        )
    magnitudes = np.abs(values)
    if not np.all(magnitudes <= 2.0**40):
        raise unsupported(node, f"its weight {node.input[position]!r} holds a value that is not finite or above 2^40")
    kept = np.where(magnitudes < 2.0**-40, 0, values).astype(np.float32)
    return Weights(kept, np.ones((1,) * values.ndim, np.float32), FLOAT, name=node.input[position])


def matrix_of(node: onnx.NodeProto, weights: Weights, rows_axis: int, columns: int, reading: Reading) -> Matrix:
    """Return weights of two axes as a matrix; `rows_axis` counts output channels of `columns` weights each."""
    if weights.codes.ndim != 2 or weights.codes.shape[1 - rows_axis] != columns:
        raise unsupported(
            node, f"its weights have shape {weights.codes.shape}, wanted {columns} values per output channel"
        )
    along = rows_axis if not weights.block else 1 - rows_axis
    if weights.scales.size > 1 and weights.axis != along:
        what = "in blocks along" if weights.block else "along"
        raise unsupported(node, f"its weights are scaled {what} axis {weights.axis}, wanted {along}")
    codes, scales = (np.moveaxis(part, rows_axis, 0) for part in (weights.codes, weights.scales))
    group = weights.block if scales.shape[1] > 1 else 0
    if group not in (0, *GROUP_SIZES):
        raise unsupported(node, f"its weights have blocks of {group}, wanted 8, 32 or one scale per output channel")
    bits = activation_bits(columns, weights.activations.bits, weights.bits, group)
    scales = np.ascontiguousarray(np.broadcast_to(scales, (len(codes), scales.shape[1])))
    made = Matrix(np.ascontiguousarray(codes), scales, reading, bits, weights.bits, group, weights.name)
    most = weights.activations.range
    return made if most is None else replace(made, reading=Reading.CONSTANT, range=most)


def bias_of(trace: Trace, node: onnx.NodeProto, position: int, rows: int) -> Floats:
    """Return a constant bias, or zeros if there is none; tiny values become zero."""
    if position >= len(node.input) or node.input[position] == "":
        return np.zeros(rows, np.float32)
    bias = trace.constant(node, position)
    if bias is None:
        raise unsupported(node, f"its bias {node.input[position]!r} is not constant")
    if bias.size != 1 and (bias.size, bias.shape[-1]) != (rows, rows):
        seen = f"its bias {node.input[position]!r} has shape {bias.shape}, wanted {rows} values"
        raise unsupported(node, seen, EXPORT_AGAIN)
    return flushed(node, np.broadcast_to(np.ravel(bias), rows))


def flushed(node: onnx.NodeProto, values: Array) -> Floats:
    """Return constants as float32 of at most 2^60; tiny values become zero."""
    values = values.astype(np.float32)
    if not np.all(np.abs(values) <= np.float32(2.0**60)):
        raise unsupported(node, "a constant or bias is not finite or above 2^60")
    return np.where(np.abs(values) < np.float32(2.0**-60), np.float32(0), values)


def along_features(trace: Trace, node: onnx.NodeProto, constant: Array, signal: Signal) -> tuple[Floats, Signal]:
    """Return a constant operand as one value per feature, and the signal with the axes of the result."""
    width = trace.widths[signal.value]
    axes = (ONE,) * (constant.ndim - len(signal.axes)) + signal.axes
    if constant.size == 1:
        return flushed(node, np.broadcast_to(np.ravel(constant), width)), Signal(signal.value, axes)
    sizes = (1,) * (len(axes) - constant.ndim) + constant.shape
    if constant.size != width or FEATURE not in axes or sizes[axes.index(FEATURE)] != width:
        way_out = ONNXRUNTIME if constant.shape[-1] in (1, width) else EXPORT_AGAIN
        raise unsupported(
            node, f"its constant {list(constant.shape)} must have one value or {width}, along the features", way_out
        )
    return flushed(node, np.ravel(constant)), Signal(signal.value, axes)
