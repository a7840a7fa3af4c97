"""Cuts along time in the form that streams: behind their convolution, and the last frame counted from the end."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.editing import reads, sort_nodes, unused, value_names

_EACH_VALUE = frozenset(
    (
        *("Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "Relu"),
        *("Selu", "Sigmoid", "Softplus", "Softsign", "Tanh"),
    )
)


def move_cuts(model: onnx.ModelProto) -> None:
    """Let each Slice after a convolution and functions of one value come before these functions, in place.

    `relu(conv(x))[..., :-4]` has the values of `relu(conv(x)[..., :-4])`, and only the second is a convolution that
    answers once per frame.
    """
    for name in [node.output[0] for node in model.graph.node if node.op_type == "Slice"]:
        graph = Graph(model)
        cut = graph.producer(name)
        functions = [] if cut is None else _functions(graph, cut)
        if cut is not None and functions:
            moved = unused(f"{name}/cut", value_names(model))
            cut.input[0], cut.output[0] = functions[-1].input[0], moved
            functions[-1].input[0], functions[0].output[0] = moved, name
            sort_nodes(model)


def write_last_pieces(model: onnx.ModelProto) -> None:
    """Let each Split of which only the last piece is read be a Slice from the end, in place.

    torch writes `y.unbind(1)[-1]` and `y.split(1, 1)[-1]` as a Split into the frames of the example.
    """
    read = {name for node in model.graph.node for name in reads(node)} | {item.name for item in model.graph.output}
    for node in [node for node in model.graph.node if node.op_type == "Split" and not read.isdisjoint(node.output)]:
        sizes, last = Graph(model).constant(node.input[1]) if len(node.input) > 1 else None, node.output[-1]
        if sizes is not None and len(node.output) > 1 and read.intersection(node.output) == {last}:
            taken, made = value_names(model), list[str]()
            for value in (-int(sizes[-1]), np.iinfo(np.int64).max, attributes(node).get("axis", 0)):
                made.append(unused(f"{last}/from", {*taken, *made}))
                model.graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), made[-1]))
            node.CopyFrom(helper.make_node("Slice", [node.input[0], *made], [last], node.name))


def _functions(graph: Graph, cut: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return the functions between a convolution and a cut, last first; none if others read their values."""
    found, value = list[onnx.NodeProto](), cut.input[0]
    while (node := graph.producer(value)) is not None and graph.only_reader(value) is not None:
        if node.op_type == "Conv":
            return found
        if node.op_type not in _EACH_VALUE:
            break
        found.append(node)
        value = node.input[0]
    return []
