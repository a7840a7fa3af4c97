"""Axes that an operator mixes: the table agrees with what the operator computes."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.export.graph.axes import Dims
from tidegate.export.proof.axis_mixing import mixings
from tidegate.runtime.graph.graph import Graph
from tools.graphs import floats, model_of, run

SHAPE = (4, 3, 5)
TENSORS = {
    "one": np.array([1]),
    "start": np.array([-1]),
    "ends": np.array([-(2**40)]),
    "back": np.array([-1]),
    "zero": np.array([0]),
    "all": np.array([2**40]),
    "two": np.array([2]),
    "index": np.array(1),
    "last": np.array(-1),
    "scale": np.ones(5, np.float32),
    "weight": floats(5, 5),
}


def _node(op: str, *rest: str, **attributes: Any) -> onnx.NodeProto:  # noqa: ANN401  of any operator
    return helper.make_node(op, ["x", *rest], ["y"], op, **attributes)


def _mixed(node: onnx.NodeProto, dims: dict[str, Dims] | None = None) -> set[int]:
    graph = Graph(model_of([node], {"x": SHAPE}, ["y"], TENSORS))
    found = mixings(graph, node, {"x": SHAPE, "y": SHAPE, **(dims or {})})
    return {axis for mixing in found for axis in mixing.axes}


KEEPING = {
    "Relu": _node("Relu"),
    "Softmax": _node("Softmax", axis=1),
    "LogSoftmax by default": _node("LogSoftmax"),
    "LayerNormalization": _node("LayerNormalization", "scale", axis=2),
    "LpNormalization": _node("LpNormalization", axis=0),
    "CumSum": _node("CumSum", "index"),
    "ReduceMean": _node("ReduceMean", "one"),
    "ReduceMax of all": _node("ReduceMax"),
    "Slice turned around": _node("Slice", "start", "ends", "one", "back"),
    "linear layer": _node("MatMul", "weight"),
}


# The features of a linear layer are mixed by design, so it is not listed for axis 2.
PLACES = [(name, axis) for name in KEEPING for axis in range(3) if (name, axis) != ("linear layer", 2)]


@pytest.mark.parametrize(("name", "axis"), PLACES)
def test_a_change_at_one_place_reaches_other_places_only_along_mixed_axes(name: str, axis: int) -> None:
    node = KEEPING[name]
    model = model_of([node], {"x": SHAPE}, ["y"], TENSORS)
    x = floats(*SHAPE)
    changed = x.copy()
    changed[tuple(0 if i == axis else slice(None) for i in range(3))] += floats(1, 1, 1, seed=5)[0] + 3
    seen, other = (run(model, {"x": values})["y"] for values in (x, changed))
    whole = seen.shape[axis] != SHAPE[axis]  # one answer for all places
    kept = [i for i in range(seen.shape[axis]) if i != 0]
    reached = whole or not np.array_equal(seen.take(kept, axis), other.take(kept, axis))
    assert reached == (axis in _mixed(node))


@pytest.mark.parametrize(
    ("node", "axes"),
    [
        (_node("GlobalAveragePool"), {2}),
        (_node("RMSNormalization", "scale"), {2}),
        (_node("RMSNormalization", "scale", axis=1), {1, 2}),
        (_node("MaxPool", kernel_shape=[3]), {2}),
        (_node("MaxPool", kernel_shape=[1], strides=[1]), set()),
        (_node("MaxPool", kernel_shape=[1], strides=[2]), {2}),
        (_node("BatchNormalization", "s", "b", "m", "v"), set()),
        (_node("BatchNormalization", "s", "b", "m", "v", training_mode=1), {0, 2}),
        (_node("Slice", "zero", "all", "one", "two"), {1}),
        (_node("Slice", "zero", "all", "one"), set()),
        (_node("Gather", "index", axis=1), {1}),
        (_node("Gather", "last", axis=1), set()),
        (_node("ArgMax", axis=-1), {2}),
        (_node("ReduceSum", axes=[-2]), {1}),
        (_node("ReduceSum", noop_with_empty_axes=1), set()),
        (_node("NoSuchOperator"), set()),
    ],
    ids=lambda value: value.op_type if isinstance(value, onnx.NodeProto) else str(value),
)
def test_axes_by_attribute_and_input(node: onnx.NodeProto, axes: set[int]) -> None:
    assert _mixed(node) == axes


def test_a_product_of_two_values_mixes_the_axis_that_it_sums_over() -> None:
    node = _node("MatMul", "x2")
    graph = Graph(model_of([node], {"x": SHAPE, "x2": (4, 5, 6)}, ["y"]))
    found = mixings(graph, node, {"x": SHAPE, "x2": (4, 5, 6), "y": (4, 3, 6)})
    assert [(mixing.operand, mixing.axes) for mixing in found] == [(0, (2,)), (1, (1,))]
    assert {mixing.does for mixing in found} == {"attends over"}


def test_an_einsum_mixes_the_letters_that_its_result_lacks() -> None:
    node = _node("Einsum", "x2", equation="btf, bsf -> bts")
    graph = Graph(model_of([node], {"x": SHAPE, "x2": SHAPE}, ["y"]))
    found = mixings(graph, node, {"x": SHAPE, "x2": SHAPE, "y": (4, 3, 3)})
    assert [(mixing.operand, mixing.axes) for mixing in found] == [(0, (2,)), (1, (2,))]


def test_a_transform_mixes_the_axis_that_it_runs_along() -> None:
    node = _node("DFT", axis=1)
    (mixing,) = mixings(Graph(model_of([node], {"x": SHAPE}, ["y"])), node, {"x": SHAPE, "y": SHAPE})
    assert list(mixing.axes) == [1]
    assert mixing.way_out == "make frames of windows before the model, and transform within a frame"
    assert _mixed(_node("DFT", axis=2)) == {2}  # within a frame: no axis of the signal


def test_an_axis_that_occurs_twice_in_the_output_is_compared_with_itself() -> None:
    assert _mixed(_node("Sub", "x2"), {"x": ("time", 1, 5), "x2": (1, "time", 5), "y": ("time", "time", 5)}) == {0}
