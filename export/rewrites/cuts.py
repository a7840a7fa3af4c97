"""The cut of a padded convolution's last answers comes right after it, as `conv(x)[..., :-4]` has it."""

import onnx

from ...runtime.graph.graph import Graph
from ..graph.editing import sort_nodes, unused, value_names

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
