"""Quantized weights as float32: what onnxruntime runs, because it would convert them at every call."""

import copy
from typing import Any

from onnx import numpy_helper

from ..arrays import Array
from ..errors import ModelError, UnsupportedError
from ..graph.graph import Graph
from ..graph.nodes import label
from ..lowering.quantized import floats, quantized


def fold_weights(graph: Graph) -> Graph:
    """Return a copy of a graph with its quantized weights as float32 initializers, without codes that none reads."""
    model = copy.deepcopy(graph.model)
    kept, read = [], set[str]()
    for node in model.graph.node:
        values = _dequantized(graph, node) if node.op_type == "DequantizeLinear" else None
        if values is None:
            kept.append(node)
        else:
            model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
            read.update(name for name in node.input if len(graph.consumers(name)) == 1)
    tensors = [tensor for tensor in model.graph.initializer if tensor.name not in read]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend(tensors)
    return Graph(model)


def _dequantized(graph: Graph, node: Any) -> Array | None:  # noqa: ANN401  a NodeProto
    """Return the floats of a DequantizeLinear of constants; None if onnxruntime must compute it."""
    try:
        return floats(quantized(graph, node))
    except UnsupportedError:
        return None
    except (IndexError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{label(node)}: not valid ONNX ({type(error).__name__}: {error}); export it again") from None
