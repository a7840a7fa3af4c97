"""The weight matrices of a graph: finding them, reading them by channel, and replacing them by codes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from tidegate.quant.file.weights import Weight, replace_weight, weights_of
from tidegate.quant.rounding.nearest import to_nearest
from tidegate.quant.rounding.precision import Precision
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import QuantizationError
from tidegate.runtime.graph.graph import Graph
from tools.nets import ROWS, Net
from tools.onnx_files import write_lstm

SHAPES = [((1, 8, 5), 1), ((8, 5), 0), ((5, 8), 1), ((8, 5, 3), 0)]  # a cell, Gemm with transB, MatMul, Conv


def weight(shape: tuple[int, ...], axis: int) -> Weight:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return Weight("w", "an operator", recurrent=False, channel_axis=axis, values=values, reason="")


def graph_of(*nodes: onnx.NodeProto, **tensors: Array) -> Graph:
    """Return a graph of some nodes and constants."""
    made = [numpy_helper.from_array(values, name) for name, values in tensors.items()]
    return Graph(helper.make_model(helper.make_graph(list(nodes), "g", [], [], made)))


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_values_go_by_channel_and_back(shape: tuple[int, ...], axis: int) -> None:
    made = weight(shape, axis)
    by_channel = made.by_channel()
    assert by_channel.shape == made.shape == (8, int(np.prod(shape)) // 8)
    np.testing.assert_array_equal(made.in_file_order(by_channel), made.values)
    np.testing.assert_array_equal(by_channel[3], np.take(made.values, 3, axis).ravel())


def test_only_convolutions_have_no_groups() -> None:
    assert [weight(shape, axis).groupable for shape, axis in SHAPES] == [True, True, True, False]


def test_a_net_lists_each_weight_once_with_its_gates(tmp_path: Path) -> None:
    net = Net(np.random.default_rng(0), 6)
    net.embedding(6)
    for operator in ("LSTM", "GRU", "RNN"):
        net.cell(operator, 5)
    net.matmul(4)
    net.save(tmp_path / "m.onnx", 18, last=False)
    found = weights_of(Graph.load(tmp_path / "m.onnx"))
    assert [(w.shape, w.gates, w.recurrent) for w in found] == [
        ((ROWS, 6), "", False),
        ((20, 6), "iofc", True),
        ((20, 5), "iofc", True),
        ((15, 5), "zrh", True),
        ((15, 5), "zrh", True),
        ((5, 5), "", True),
        ((5, 5), "", True),
        ((4, 5), "", False),
    ]
    np.testing.assert_array_equal(found[-1].by_channel(), net.tensors[found[-1].name].T)


def test_a_weight_that_two_nodes_read_is_listed_once() -> None:
    nodes = [helper.make_node("MatMul", [x, "w"], [f"{x}y"]) for x in "ab"]
    (found,) = weights_of(graph_of(*nodes, w=np.ones((2, 3), np.float32)))
    assert (found.name, found.shape, found.reason) == ("w", (3, 2), "")


@pytest.mark.parametrize(
    ("node", "tensors", "reason"),
    [
        (helper.make_node("MatMul", ["x", "w"], ["y"]), {}, "not a constant of the graph"),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), {"w": np.ones((2, 3), np.int32)}, "holds int32"),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), {"w": np.ones((1, 2, 3), np.float32)}, "has 3 axes"),
        (
            helper.make_node("RNN", ["x", "w", "w"], ["y"]),
            {"w": np.ones((2, 3, 3), np.float32)},
            "2 directions: only forward layers are quantized",
        ),
    ],
)
def test_a_weight_that_cannot_be_quantized_says_why(
    node: onnx.NodeProto, tensors: dict[str, Array], reason: str
) -> None:
    (found,) = weights_of(graph_of(node, **tensors))
    assert found.reason == reason
    assert not found.values.any()


@pytest.mark.parametrize(
    ("table", "ids", "axis", "count"),
    [
        (np.ones((4, 3), np.float32), None, 0, 1),
        (np.ones((4, 3), np.float32), None, 1, 0),
        (np.ones((4, 3), np.float32), np.zeros(2, np.int64), 0, 0),
        (np.ones((4, 3), np.int64), None, 0, 0),
        (np.ones(4, np.float32), None, 0, 0),
    ],
)
def test_a_gather_is_a_table_only_if_ids_select_from_constant_floats(
    table: Array, ids: Array | None, axis: int, count: int
) -> None:
    tensors = {"table": table} | ({} if ids is None else {"ids": ids})
    node = helper.make_node("Gather", ["table", "ids"], ["y"], axis=axis)
    assert len(weights_of(graph_of(node, **tensors))) == count


def test_a_weight_with_infinity_is_refused() -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="head")
    with pytest.raises(QuantizationError, match="MatMul 'head': weight 'w' holds NaN or infinity; train or export"):
        weights_of(graph_of(node, w=np.full((2, 3), np.inf, np.float32)))


@pytest.mark.parametrize("shape", [(0, 8), (8, 0), (0, 0)])
def test_a_weight_without_values_is_refused_by_name(shape: tuple[int, int]) -> None:
    graph = graph_of(helper.make_node("MatMul", ["x", "w"], ["y"], name="head"), w=np.zeros(shape, np.float32))
    with pytest.raises(QuantizationError, match=r"MatMul 'head': weight 'w' has shape \(\d, \d\), no value; export"):
        weights_of(graph)


@given(
    st.sampled_from(SHAPES),
    st.sampled_from(["W4A16", "W8A16", "W16A16", "W4A8g8", "W8A8g8", "W16A16g8"]),
    st.integers(1, 20),
)
def test_the_dequantized_codes_are_the_rounded_values(
    form: tuple[tuple[int, ...], int], text: str, inputs: int
) -> None:
    """ONNX's own evaluator computes them, for every precision and also for an odd number of codes."""
    shape, axis = form
    made = weight(tuple(inputs if size == 5 else size for size in shape), axis)
    precision = Precision.parse(text)
    if precision.group and (not made.groupable or inputs <= precision.group):
        precision = Precision(precision.weight_bits, precision.activation_bits)
    graph = graph_of(helper.make_node("Identity", ["w"], ["y"]), w=made.values)
    rounded = to_nearest(made.by_channel(), precision)
    replace_weight(graph, made, rounded)
    model = helper.make_model(
        helper.make_graph(
            list(graph.nodes),
            "g",
            [],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
            list(graph.model.graph.initializer),
        ),
        opset_imports=[helper.make_opsetid("", 21)],
    )
    (seen,) = ReferenceEvaluator(model).run(None, {})
    expected = made.in_file_order(rounded.values.astype(np.float32))
    np.testing.assert_allclose(np.asarray(seen), expected, rtol=1e-6, atol=0)


def test_replacing_keeps_the_other_nodes_and_tensors(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    before = [node.name for node in graph.nodes]
    one = weights_of(graph)[0]
    replace_weight(graph, one, to_nearest(one.by_channel(), Precision()))
    made = Graph(graph.model)
    assert [node.name for node in made.nodes] == ["W.dequantize", *before]
    names = {tensor.name for tensor in made.model.graph.initializer}
    assert {"W.int8", "W.scale", "R", "V"} <= names
    assert "W" not in names


@pytest.mark.parametrize("channels", [1, 3, 31, 33])
def test_a_weight_with_a_part_of_a_gate_is_refused(channels: int, tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    tensor = next(one for one in graph.model.graph.initializer if one.name == "W")
    tensor.CopyFrom(numpy_helper.from_array(np.ones((1, channels, 6), np.float32), "W"))
    message = f"LSTM 'lstm': weight 'W' has {channels} output channels, wanted the same number for each of its 4 gates"
    with pytest.raises(QuantizationError, match=message):
        weights_of(Graph(graph.model))
