"""Squeezes without axes drop only the axes that are always 1."""

import onnx
import pytest
from onnx import TensorProto, helper
from tidegate.export.graph.axes import trace_dims
from tidegate.export.graph.squeezes import fix_squeezes
from tidegate.runtime.graph.graph import Graph


def squeeze(shape: list[str | int], *axes: int) -> onnx.ModelProto:
    """Return a graph that squeezes its input."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    operands, weights = ["x"], []
    if axes:
        operands.append("axes")
        weights.append(helper.make_tensor("axes", TensorProto.INT64, [len(axes)], axes))
    graph = helper.make_graph([helper.make_node("Squeeze", operands, ["y"])], "made", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=8)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        (["axis0", "axis1", 1], [2]),
        (["axis0", 1, "axis2"], [1]),
        ([1, "axis1", 1, 4], [0, 2]),
    ],
)
def test_only_axes_that_are_always_one_are_dropped(shape: list[str | int], axes: list[int]) -> None:
    model = squeeze(shape)
    fix_squeezes(model, {"x": tuple(shape)})
    (node,) = model.graph.node
    found = Graph(model).constant(node.input[1])
    assert found is not None
    assert found.tolist() == axes


def test_a_squeeze_of_nothing_becomes_an_identity() -> None:
    """An empty list of axes means all axes of size 1 to some runtimes."""
    model = squeeze(["axis0", "axis1", 4])
    fix_squeezes(model, {"x": ("axis0", "axis1", 4)})
    assert [(node.op_type, list(node.input)) for node in model.graph.node] == [("Identity", ["x"])]


def test_named_axes_and_unknown_shapes_stay() -> None:
    named, unknown = squeeze(["axis0", "axis1", 1], 2), squeeze(["axis0", "axis1", 1])
    before = named.SerializeToString(), unknown.SerializeToString()
    fix_squeezes(named, trace_dims(named, (0, 1)))
    fix_squeezes(unknown, {"x": (None, 1)})
    fix_squeezes(unknown, {})
    assert (named.SerializeToString(), unknown.SerializeToString()) == before
