"""The axis of frames in single nodes, and nodes that turn it around or take its end."""

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.export.foreign.frame_axes import FrameAxes
from tools.graphs import model_of

TENSORS = {
    "none": np.array([0]),
    "last": np.array([-1]),
    "begin": np.array([-(2**63)]),
    "end": np.array([2**63 - 1]),
    "one": np.array([1]),
    "two": np.array([2]),
    "five": np.array([5, 5]),
    "four": np.array([5, 4]),
    "back": np.array([4, 3, 2, 1, 0]),
    "there": np.array([0, 1, 2, 3, 4]),
    "end_place": np.array(-1),
    "weights": np.ones((3, 2), np.float32),
    "bias": np.ones(3, np.float32),
    "each": np.ones((5, 1, 1), np.float32),
    "steps": np.ones((5, 3, 3), np.float32),
}


def _axes(node: onnx.NodeProto) -> FrameAxes:
    """Return the axes of a graph with one node; its input x is [time, batch, 3], of 5 frames and 2 streams."""
    return FrameAxes.of(model_of([node], {"x": [5, 2, 3]}, ["y"], TENSORS), "x")


def _node(operator: str, *reads: str, **options: object) -> onnx.NodeProto:
    return helper.make_node(operator, list(reads), ["y"], "node", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("node", "found", "axis", "wanted"),
    [
        (_node("Transpose", "x", perm=[1, 0, 2]), [True], 0, 1),
        (_node("Transpose", "x"), [True], 0, 2),
        (_node("Unsqueeze", "x", "none"), [True, False], 0, 1),
        (_node("Unsqueeze", "x", "last"), [True, False], 0, 0),
        (_node("Squeeze", "x", "one"), [True, False], 2, 1),
        (_node("Squeeze", "x", "none"), [True, False], 0, None),
        (_node("Relu", "x"), [True], 0, 0),
        (_node("MatMul", "x", "weights"), [True, False], 0, 0),
        (_node("MatMul", "x", "weights"), [True, False], 2, None),
        (_node("Add", "x", "bias"), [True, False], 0, 0),
        (_node("Add", "x", "each"), [True, False], 0, None),
        (_node("Add", "x", "each"), [True, False], 1, 1),
        (_node("Concat", "x", "x", axis=2), [True, True], 0, 0),
        (_node("Concat", "x", "x", axis=0), [True, True], 0, None),
        (_node("Concat", "x", "steps", axis=2), [True, False], 0, None),
        (_node("Softmax", "x", axis=0), [True], 0, None),
        (_node("CumSum", "x", "end_place"), [True, False], 0, None),
    ],
)
def test_where_the_axis_is_afterwards(node: onnx.NodeProto, found: list[bool], axis: int, wanted: int | None) -> None:
    assert _axes(node).after(node, found, axis) == wanted


@pytest.mark.parametrize(
    ("node", "axis"),
    [
        (_node("ReverseSequence", "x", "five", time_axis=0, batch_axis=1), 0),
        (_node("ReverseSequence", "x", "four", time_axis=0, batch_axis=1), None),
        (_node("Slice", "x", "last", "begin", "none", "last"), 0),
        (_node("Slice", "x", "last", "begin", "two", "last"), 2),
        (_node("Slice", "x", "last", "none", "none", "last"), None),
        (_node("Slice", "x", "last", "end", "none"), None),
        (_node("Gather", "x", "back", axis=0), 0),
        (_node("Gather", "x", "there", axis=0), None),
        (_node("Gather", "x", "back", axis=1), None),
        (_node("Relu", "x"), None),
    ],
)
def test_nodes_that_turn_an_axis_around(node: onnx.NodeProto, axis: int | None) -> None:
    assert _axes(node).turned(node) == axis


@pytest.mark.parametrize(
    ("node", "axis"),
    [
        (_node("Slice", "x", "last", "end", "none"), 0),
        (_node("Slice", "x", "last", "end", "two", "one"), 2),
        (_node("Slice", "x", "last", "begin", "none", "last"), None),
        (_node("Slice", "x", "none", "end", "none"), None),
        (_node("Gather", "x", "end_place", axis=1), 1),
        (_node("Gather", "x", "none", axis=0), None),
        (_node("Relu", "x"), None),
    ],
)
def test_nodes_that_take_the_end(node: onnx.NodeProto, axis: int | None) -> None:
    assert _axes(node).last(node) == axis
