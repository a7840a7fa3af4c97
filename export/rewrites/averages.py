"""Running averages of a front end: from a marker in the trace to an RNN without a function.

With the activation Affine, h[t] = W x[t] + R h[t - 1]; W = momentum I and R = (1 - momentum) I make it an average. So
it is a recurrent layer as any other: its state, its start and its proof are those of a layer.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper

from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.editing import add_constant, set_nodes
from ..graph.markers import AVERAGE, is_marker


def write_averages(model: onnx.ModelProto) -> None:
    """Replace each marker of a running average by an RNN, in place."""
    graph = Graph(model)
    nodes = [
        made
        for node in list(model.graph.node)
        for made in (_rnn(model, graph, node) if is_marker(node, AVERAGE) else [node])
    ]
    set_nodes(model, nodes)


def _rnn(model: onnx.ModelProto, graph: Graph, marker: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    (x, start), (y,), name = marker.input, marker.output, marker.name
    features, share = np.asarray(graph.constant(start)).size, attributes(marker)["momentum"]
    weights = [
        add_constant(model, f"{name}/{key}", np.float32(factor) * np.eye(features, dtype=np.float32)[None])
        for key, factor in (("W", share), ("R", 1 - np.float32(share)))
    ]
    one, size = (
        add_constant(model, f"{name}/{key}", np.array([n], np.int64)) for key, n in (("one", 1), ("size", features))
    )
    yield helper.make_node("Shape", [x], [f"{name}/streams"], f"{name}/Shape", start=0, end=1)
    yield helper.make_node("Concat", [one, f"{name}/streams", size], [f"{name}/sizes"], f"{name}/Concat", axis=0)
    yield helper.make_node("Expand", [start, f"{name}/sizes"], [f"{name}/start"], f"{name}/Expand")
    yield helper.make_node("Transpose", [x], [f"{name}/frames"], f"{name}/Transpose", perm=[1, 0, 2])
    read = [f"{name}/frames", *weights, "", "", f"{name}/start"]
    node = helper.make_node("RNN", read, [f"{name}/Y"], name, activations=["Affine"], hidden_size=features)
    node.attribute.extend(
        helper.make_attribute(key, [n]) for key, n in (("activation_alpha", 1.0), ("activation_beta", 0.0))
    )
    yield node
    yield helper.make_node("Squeeze", [f"{name}/Y", one], [f"{name}/averages"], f"{name}/Squeeze")
    yield helper.make_node("Transpose", [f"{name}/averages"], [y], f"{y}/Transpose", perm=[1, 0, 2])
