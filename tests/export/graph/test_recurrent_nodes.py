"""Recurrent nodes: which ones are found, and which options are refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.export.graph.recurrent_nodes import checked_nodes, nonzero_source, state_sizes
from tidegate.runtime.errors import ModelError, UnsupportedError
from tidegate.runtime.graph.graph import Graph

MakeGraph = Callable[..., onnx.ModelProto]


def test_nodes_come_in_file_order(make_graph: MakeGraph) -> None:
    model = make_graph(("/a/LSTM", "/b/LSTM"))
    assert [node.name for node in checked_nodes(Graph(model))] == ["/a/LSTM", "/b/LSTM"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": 1}, r"layout = 1, wanted 0; write the model with the time axis first \(layout 0\)"),
        ({"clip": -3.0}, r"clip is -3\.0, wanted a number above 0"),
        ({"activations": ["Sigmoid", "Gelu", "Tanh"]}, "activation Gelu is unknown, wanted one of Sigmoid"),
        ({"inputs": {4: "lengths"}}, "sequence_lens = 'lengths', wanted none; pack whole sequences"),
        ({"inputs": {5: "onnx::B0"}}, "initial_h comes from the constant 'onnx::B0', wanted zeros"),
        ({"inputs": {6: "x"}}, "initial_c comes from the graph input 'x', wanted zeros"),
    ],
)
def test_options_that_cannot_be_streamed_are_refused_by_node(
    make_graph: MakeGraph, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UnsupportedError, match="LSTM '/lstm/LSTM': " + message):
        checked_nodes(Graph(make_graph(**options)))


def test_default_options_written_out_are_taken(make_graph: MakeGraph) -> None:
    written = make_graph(direction="forward", layout=0, activations=["Sigmoid", "Tanh", "Tanh"])
    assert len(checked_nodes(Graph(written))) == 1


def test_a_state_that_continues_another_node_is_refused(make_graph: MakeGraph) -> None:
    model = make_graph(("/cell/LSTM", "/cell/LSTM_1"))
    [_, second] = [node for node in model.graph.node if node.op_type == "LSTM"]
    second.input[5] = "Yh0"
    with pytest.raises(UnsupportedError, match="'/cell/LSTM_1': initial_h comes from LSTM '/cell/LSTM', wanted zeros"):
        checked_nodes(Graph(model))


@pytest.mark.parametrize(
    ("op", "options"),
    [
        ("RNN", {"activations": ["Relu"]}),
        ("GRU", {"activations": ["Sigmoid", "Relu"]}),
        ("LSTM", {"input_forget": 1, "clip": 3.0}),
        ("LSTM", {"inputs": {7: "peepholes"}}),
    ],
)
def test_options_that_the_engine_has_are_taken(make_graph: MakeGraph, op: str, options: dict[str, Any]) -> None:
    assert len(checked_nodes(Graph(make_graph(op=op, **options)))) == 1


@pytest.mark.parametrize("op", ["Scan", "Loop", "DynamicQuantizeLSTM"])
def test_other_operators_are_refused(make_graph: MakeGraph, op: str) -> None:
    with pytest.raises(UnsupportedError, match=f"{op} '/lstm/LSTM': wanted one of LSTM, GRU, RNN"):
        checked_nodes(Graph(make_graph(op=op)))


def test_a_graph_without_a_recurrent_node_is_refused(make_graph: MakeGraph) -> None:
    with pytest.raises(ModelError, match="no recurrent layer found"):
        checked_nodes(Graph(make_graph(op="Relu")))


def test_hidden_size_comes_from_the_attribute_or_from_r(make_graph: MakeGraph) -> None:
    model = make_graph(hidden=[5])
    node = next(node for node in model.graph.node if node.op_type == "LSTM")
    assert state_sizes(Graph(model), node) == (5, 5)
    del node.attribute[:]
    assert state_sizes(Graph(model), node) == (5, 5)
    node.input[2] = "x"
    with pytest.raises(UnsupportedError, match="no hidden_size and no constant R"):
        state_sizes(Graph(model), node)


def _zero_graph(nodes: list[onnx.NodeProto]) -> Graph:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    weights = [numpy_helper.from_array(np.zeros(2, np.float32), "none"), numpy_helper.from_array(np.ones(2), "some")]
    return Graph(helper.make_model(helper.make_graph(nodes, "g", [x], [x], weights)))


def _filled(value: float) -> onnx.NodeProto:
    tensor = numpy_helper.from_array(np.array([value], np.float32))
    return helper.make_node("ConstantOfShape", ["shape"], ["filled"], "fill", value=tensor)


@pytest.mark.parametrize(
    ("nodes", "name", "odd"),
    [
        ([], "", None),
        ([], "none", None),
        ([], "some", "the constant 'some'"),
        ([], "x", "the graph input 'x'"),
        ([_filled(0.0)], "filled", None),
        ([_filled(0.5)], "filled", "ConstantOfShape 'fill'"),
        ([helper.make_node("Expand", ["none", "shape"], ["y"])], "y", None),
        ([helper.make_node("Concat", ["none", "some"], ["y"], axis=0)], "y", "the constant 'some'"),
        ([_filled(0.0), helper.make_node("Slice", ["filled", "x"], ["y"])], "y", None),
        ([helper.make_node("RandomNormalLike", ["none"], ["y"], "noise")], "y", "RandomNormalLike 'noise'"),
    ],
)
def test_nonzero_source(nodes: list[onnx.NodeProto], name: str, odd: str | None) -> None:
    assert nonzero_source(_zero_graph(nodes), name) == odd


def test_a_circle_of_values_ends() -> None:
    circle = [helper.make_node("Identity", ["b"], ["a"]), helper.make_node("Slice", ["a"], ["b"])]
    assert nonzero_source(_zero_graph(circle), "b") is None
