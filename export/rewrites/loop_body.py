"""One node of a loop's body, for all frames at once: its values get a leading axis of time."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.editing import copied

FRAMES = "/frames"  # ends the name of a value that has time in front

_POINTWISE = frozenset(
    (
        *("Abs", "Add", "Cast", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity"),
        *("LeakyRelu", "Log", "MatMul", "Max", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Relu"),
        *("Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh", "Where"),
    )
)
_AXIS = {
    "Concat": 1,
    "LayerNormalization": -1,
    "LogSoftmax": -1,
    "Softmax": -1,
    "Split": 0,
}  # operators with an attribute axis, and its default
_AXES = {"ReduceMax": 1, "ReduceMean": 1, "ReduceMin": 1, "ReduceSum": 1, "Slice": 3, "Squeeze": 1, "Unsqueeze": 1}


def rolled_node(graph: Graph, node: onnx.NodeProto, parts: list[str | None]) -> list[onnx.NodeProto]:
    """Return nodes that do for all frames what one node does for one frame.

    Args:
        graph: The graph of the node; constants are added to it.
        node: The node.
        parts: For each input the name of the value with time in front; None if it is the same for each frame.

    Raises:
        UnsupportedError: The operator is not known to act on each frame by itself.
    """
    inputs = [part or name for part, name in zip(parts, node.input, strict=True)]
    if node.op_type == "Gemm":
        return _linear(node, inputs)
    made = copied(node, inputs, [f"{name}{FRAMES}" if name else "" for name in node.output])
    if node.op_type in _POINTWISE:
        return [made]
    if node.op_type == "Gather" and parts[0] is None and attributes(node).get("axis", 0) == 0:
        return [made]  # a lookup in a table
    if node.op_type in _AXES and parts[0] is not None:
        return _with_axes(graph, node, made)
    whole = node.op_type != "Concat" or all(parts)
    if (node.op_type in _AXIS or (node.op_type == "Gather" and parts[1] is None)) and parts[0] is not None and whole:
        return [_with_axis(node, made)]
    raise UnsupportedError(
        f"{label(node)}: is in the loop over time and not known to act on each frame by itself; do it for all "
        "frames before or after the loop, and read x[:, t] in it"
    )


def _with_axis(node: onnx.NodeProto, made: onnx.NodeProto) -> onnx.NodeProto:
    axis = attributes(node).get("axis", _AXIS.get(node.op_type, 0))
    kept = [attribute for attribute in node.attribute if attribute.name != "axis"]
    del made.attribute[:]
    made.attribute.extend([*kept, helper.make_attribute("axis", _moved(axis))])
    return made


def _with_axes(graph: Graph, node: onnx.NodeProto, made: onnx.NodeProto) -> list[onnx.NodeProto]:
    place = _AXES[node.op_type]
    axes = graph.constant(node.input[place]) if place < len(node.input) else None
    if axes is None:
        raise UnsupportedError(
            f"{label(node)}: is in the loop over time and its axes are not constant, wanted constant axes"
        )
    name = f"{node.output[0]}{FRAMES}/axes"
    graph.model.graph.initializer.append(numpy_helper.from_array(np.array([_moved(a) for a in axes.tolist()]), name))
    made.input[place] = name
    return [made]


def _moved(axis: int) -> int:
    return axis if axis < 0 else axis + 1


def _linear(node: onnx.NodeProto, inputs: list[str]) -> list[onnx.NodeProto]:
    """Return MatMul and Add nodes in place of a Gemm, which takes two axes only."""
    given, answer = attributes(node), f"{node.output[0]}{FRAMES}"
    if given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0 or given.get("transA", 0):
        raise UnsupportedError(
            f"{label(node)}: is in the loop over time with a scale or transA, wanted alpha = beta = 1, transA = 0"
        )
    x, weight, *bias = inputs
    path = node.name.rpartition("/")[0]
    nodes = []
    if given.get("transB", 0):
        transposed = f"{node.name}/transposed"
        nodes.append(helper.make_node("Transpose", [weight], [transposed], f"{transposed}/Transpose", perm=[1, 0]))
        weight = transposed
    product = f"{answer}/product" if bias else answer
    nodes.append(helper.make_node("MatMul", [x, weight], [product], f"{path}/MatMul"))
    if bias:
        nodes.append(helper.make_node("Add", [product, *bias], [answer], f"{path}/Add"))
    return nodes
