"""Reading weights that a DequantizeLinear makes from codes and scales."""

import numpy as np
import onnx

from ..arrays import Array, Floats
from ..graph.graph import Graph
from ..graph.nodes import attributes
from .trace import EXPORT_AGAIN, unsupported
from .values import Weights

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
        raise unsupported(node, f"scales are {scales.dtype}, wanted float32", "export the model in float32")
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
        raise unsupported(node, f"axis is {axis}, block_size {block}; its codes have {len(shape)} axes", EXPORT_AGAIN)
    axis %= len(shape)
    count = -(-shape[axis] // block) if block else shape[axis]
    apart = tuple(count if a == axis else size if block else 1 for a, size in enumerate(shape))
    wanted = apart if block else (count,)
    if scales.shape != wanted:
        raise unsupported(node, f"its scales have shape {scales.shape}, wanted {wanted}", EXPORT_AGAIN)
    return scales.reshape(apart), axis
