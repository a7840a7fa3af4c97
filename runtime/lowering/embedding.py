"""Embedding: ids select rows of a constant table."""

import numpy as np
import onnx

from ..arrays import Floats
from ..graph.nodes import attributes
from ..operators import Embedding
from ..operators.embedding import MAX_ROWS
from ..operators.matrix import Matrix, Reading
from .trace import Trace, unsupported
from .values import FEATURE, Ids, Signal, Weights
from .weights import flushed, matrix_of


def embedded(trace: Trace, node: onnx.NodeProto, ids: Ids) -> Signal:
    """Emit the lookup of ids in a constant table, which holds codes and scales, or floats."""
    weights, constant = trace.values.get(node.input[0]), trace.constant(node, 0)
    shape = weights.codes.shape if isinstance(weights, Weights) else () if constant is None else constant.shape
    if len(shape) != 2 or attributes(node).get("axis", 0) != 0:
        raise unsupported(node, f"its table {node.input[0]!r} is {list(shape)}, wanted a constant of two axes")
    if shape[0] > MAX_ROWS:
        raise unsupported(node, f"its table has {shape[0]} rows, the engine takes at most {MAX_ROWS}")
    if isinstance(weights, Weights):
        table: Matrix | Floats = matrix_of(node, weights, 0, shape[1], Reading.FRAME)
    else:
        table = flushed(node, np.asarray(constant))
    return Signal(trace.emit(Embedding((ids.value,), table, ids.feature)), (*ids.axes, FEATURE))
