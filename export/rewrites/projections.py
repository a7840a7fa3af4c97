"""LSTMs with projection: from a marker in the trace to a Scan, since ONNX has no operator for them."""

import numpy as np
import onnx
from onnx import numpy_helper

from ...runtime.arrays import Array
from ...runtime.graph.graph import Graph
from ...runtime.graph.projected_lstm import projected_lstm
from ..graph.editing import set_nodes
from ..graph.markers import PROJECTION, in_onnx_order, is_marker


def write_projections(model: onnx.ModelProto) -> None:
    """Replace each marker of an LSTM with projection by a Scan of its step, in place."""
    graph = Graph(model)
    nodes = [_scan(model, graph, node) if is_marker(node, PROJECTION) else node for node in model.graph.node]
    set_nodes(model, nodes)


def _scan(model: onnx.ModelProto, graph: Graph, marker: onnx.NodeProto) -> onnx.NodeProto:
    x, h, c, *names = marker.input
    y, last_h, last_c = marker.output
    weights = _weights([np.asarray(graph.constant(name)) for name in names])
    named = {key: f"{marker.name}/{key}" for key in weights}
    model.graph.initializer.extend(numpy_helper.from_array(weights[key], name) for key, name in named.items())
    return projected_lstm(marker.name, [h, c, x], [last_h, last_c, y], named)


def _weights(listed: list[Array]) -> dict[str, Array]:
    """Return W, R, P and B from torch's list: w_ih, w_hh, b_ih and b_hh if there are biases, w_hr."""
    w, r, *biases, p = listed
    bias = sum(biases, np.zeros(len(w), np.float32))
    parts = {
        "W": in_onnx_order(w, "LSTM").T,
        "R": in_onnx_order(r, "LSTM").T,
        "P": p.T,
        "B": in_onnx_order(bias, "LSTM"),
    }
    return {key: np.ascontiguousarray(values) for key, values in parts.items()}
