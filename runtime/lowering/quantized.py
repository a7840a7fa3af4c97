"""Reading weights that a DequantizeLinear makes from codes and scales."""

import copy

import numpy as np
import onnx
from onnx import numpy_helper

from ..arrays import Array, Floats
from ..errors import ModelError, UnsupportedError
from ..graph.graph import Graph
from ..graph.nodes import attributes, label
from .trace import Weights, unsupported

CODE_BITS = {"int4": 4, "int8": 8, "int16": 16}


def quantized(graph: Graph, node: onnx.NodeProto) -> Weights:
    """Return the codes and scales of a DequantizeLinear.

    Raises:
        UnsupportedError: They are not constant, of a wrong type or shape, or have zero points.
    """
    codes, scales, zero = (graph.constant(name) if name else None for name in (*node.input, "")[:3])
    if codes is None or scales is None or (zero is None and any(node.input[2:])):
        raise unsupported(node, "the engine takes constant codes and scales")
    bits = CODE_BITS.get(codes.dtype.name, 0)
    if not bits or (zero is not None and np.any(zero.astype(np.int32))):
        raise unsupported(node, f"weights are {codes.dtype}, wanted int4, int8 or int16 with zero point 0")
    if scales.dtype != np.float32:
        raise unsupported(node, f"scales are {scales.dtype}, wanted float32")
    given = attributes(node)
    block = int(given.get("block_size", 0))
    spread, axis = _spread(node, scales, codes.shape, int(given.get("axis", 1)), block)
    return Weights(codes.astype(np.int16 if bits == 16 else np.int8), spread, bits, axis, block)


def floats(weights: Weights) -> Floats:
    """Return weights as floats: codes times their scales."""
    scales = weights.scales
    if weights.block:
        scales = np.take(scales, np.arange(weights.codes.shape[weights.axis]) // weights.block, weights.axis)
    values: Floats = weights.codes.astype(np.float32) * scales
    return values


def _spread(node: onnx.NodeProto, scales: Array, shape: tuple[int, ...], axis: int, block: int) -> tuple[Floats, int]:
    """Return scales with as many axes as the codes (size 1 if shared), and the axis counted from the front."""
    if scales.size == 1 and not block:
        return scales.reshape((1,) * len(shape)), 0
    if block < 0 or not -len(shape) <= axis < len(shape):
        raise unsupported(node, f"axis is {axis}, block_size {block}; its codes have {len(shape)} axes")
    axis %= len(shape)
    count = -(-shape[axis] // block) if block else shape[axis]
    apart = tuple(count if a == axis else size if block else 1 for a, size in enumerate(shape))
    wanted = apart if block else (count,)
    if scales.shape != wanted:
        raise unsupported(node, f"its scales have shape {scales.shape}, wanted {wanted}")
    return scales.reshape(apart), axis


def fold_weights(graph: Graph) -> Graph:
    """Return a copy of a graph with its quantized weights as float32 initializers."""
    model = copy.deepcopy(graph.model)
    kept = []
    for node in model.graph.node:
        values = _dequantized(graph, node) if node.op_type == "DequantizeLinear" else None
        if values is None:
            kept.append(node)
        else:
            model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return Graph(model)


def _dequantized(graph: Graph, node: onnx.NodeProto) -> Array | None:
    """Return the floats of a DequantizeLinear of constants; None if onnxruntime must compute it."""
    try:
        return floats(quantized(graph, node))
    except UnsupportedError:
        return None
    except (IndexError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{label(node)}: not valid ONNX ({type(error).__name__}: {error}); export it again") from None
