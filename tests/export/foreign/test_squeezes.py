"""Reshapes that only drop or add axes of size 1."""

from collections.abc import Sequence

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tidegate.export.foreign.squeezes import name_dropped_axes
from tidegate.runtime.graph.graph import Graph
from tools.graphs import floats, model_of


def _model(target: Sequence[int], shape: Sequence[int | str] = ("time", "batch", 1, 6)) -> ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("Reshape", ["x", "target"], ["y"], "flat")
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(np.array(target, np.int64), "target")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize(
    ("target", "shape", "frozen"),
    [
        ((0, 0, 6), ("time", "batch", 1, 6), {}),
        ((9, 2, 6), (9, 2, 1, 6), {}),
        ((9, -1, 6), ("time", "batch", 1, 6), {0: 9}),  # torch's dynamo exporter, with time first
        ((9, 6), ("time", 1, 6), {0: 9}),
        ((9, 1, 6), ("time", 1, 1, 6), {0: 9}),  # for one stream, with the batch first before it
    ],
)
def test_a_reshape_that_drops_an_axis_is_a_squeeze(
    target: Sequence[int], shape: Sequence[int | str], frozen: dict[int, int]
) -> None:
    model = _model(target, shape)
    assert name_dropped_axes(model, "x") == frozen
    (node,) = model.graph.node
    axes = Graph(model).constant(node.input[1])
    assert node.op_type == "Squeeze"
    assert axes is not None
    assert axes.tolist() == [shape.index(1)]


@pytest.mark.parametrize(
    ("target", "shape", "axis"), [((1, 1, 6), (1, 6), 0), ((0, 1, 6), ("time", 6), 1), ((2, 1, 6), (2, 6), 1)]
)
def test_a_reshape_that_adds_an_axis_is_an_unsqueeze(
    target: Sequence[int], shape: Sequence[int | str], axis: int
) -> None:
    model = _model(target, shape)
    assert name_dropped_axes(model, "x") == {}
    (node,) = model.graph.node
    assert node.op_type == "Unsqueeze"
    axes = Graph(model).constant(node.input[1])
    assert axes is not None
    assert axes.tolist() == [axis]


@pytest.mark.parametrize(
    ("target", "shape"),
    [
        ((-1, 6), ("time", "batch", 1, 6)),  # time folded into the batch
        ((0, 0, 2, 3), ("time", "batch", 1, 6)),
        ((0, -1), ("time", "batch", 1, 6)),
        ((9, -1, 7), ("time", "batch", 1, 6)),  # features of another size
        ((2, 3, 6), (6, 1, 6)),
    ],
)
def test_any_other_reshape_stays(target: Sequence[int], shape: Sequence[int | str]) -> None:
    model = _model(target, shape)
    assert name_dropped_axes(model, "x") == {}
    assert [node.op_type for node in model.graph.node] == ["Reshape"]


def test_a_fold_of_the_one_stream_stays() -> None:
    """`y.view(y.size(0) * y.size(1), -1)` drops an axis of size 1 only while there is one stream."""
    model = _model((), ("time", 1, 6))
    del model.graph.initializer[:]
    axes = [
        numpy_helper.from_array(np.array(numbers, np.int64), name) for name, numbers in (("both", [0, 1]), ("six", [6]))
    ]
    model.graph.initializer.extend(axes)
    asking = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "both"], ["first"]),
        helper.make_node("ReduceProd", ["first"], ["fold"], keepdims=1),
        helper.make_node("Concat", ["fold", "six"], ["target"], axis=0),
    ]
    reshape = model.graph.node.pop()
    model.graph.node.extend([*asking, reshape])
    name_dropped_axes(model, "x")
    assert model.graph.node[-1].op_type == "Reshape"


def test_of_two_axes_of_one_the_directions_are_dropped_and_the_streams_stay() -> None:
    nodes = [
        helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=4),
        helper.make_node("Transpose", ["y"], ["moved"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["moved", "target"], ["z"]),
    ]
    tensors = {"w": floats(1, 12, 3), "r": floats(1, 12, 4), "target": np.array([9, 1, 4])}
    model = model_of(nodes, {"x": (9, 1, 3)}, ["z"], tensors)
    name_dropped_axes(model, "x")
    axes = Graph(model).constant(model.graph.node[-1].input[1])
    assert axes is not None
    assert axes.tolist() == [2]
