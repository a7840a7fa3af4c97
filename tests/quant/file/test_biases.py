"""Corrections of biases: the graph's new output is the old one plus the correction."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from tidegate.quant.file.biases import add_to_bias
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.graph.graph import Graph

INPUTS, CHANNELS = 3, 4
RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(INPUTS, CHANNELS)).astype(np.float32)
ADDED = RNG.normal(size=CHANNELS).astype(np.float32)
X = RNG.normal(size=(5, INPUTS)).astype(np.float32)


def graph_of(*nodes: onnx.NodeProto, outputs: str = "y", **tensors: Array) -> Graph:
    info = helper.make_tensor_value_info
    made = [numpy_helper.from_array(values.astype(np.float32), name) for name, values in tensors.items()]
    ends = [info(name, TensorProto.FLOAT, None) for name in outputs.split()]
    graph = helper.make_graph(list(nodes), "g", [info("x", TensorProto.FLOAT, [None, INPUTS])], ends, made)
    return Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))


def answers(graph: Graph) -> list[Floats]:
    return [np.asarray(one) for one in ReferenceEvaluator(graph.model).run(None, {"x": X})]


def assert_added(graph: Graph) -> Graph:
    (before,) = answers(graph)
    add_to_bias(graph, "w", ADDED)
    (after,) = answers(graph)
    np.testing.assert_allclose(after, before + ADDED, rtol=1e-6, atol=1e-6)
    return Graph(graph.model)


def test_the_constant_of_an_add_after_a_matmul_takes_the_correction() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["xw"]), helper.make_node("Add", ["b", "xw"], ["y"])]
    made = assert_added(graph_of(*nodes, w=WEIGHT, b=np.ones(CHANNELS)))
    assert [node.op_type for node in made.nodes] == ["MatMul", "Add"]


def test_a_matmul_without_an_add_gets_one() -> None:
    made = assert_added(graph_of(helper.make_node("MatMul", ["x", "w"], ["y"]), w=WEIGHT))
    assert [node.op_type for node in made.nodes] == ["MatMul", "Add"]
    assert [output.name for output in made.model.graph.output] == ["y"]


def test_a_product_that_is_also_an_output_is_corrected_itself() -> None:
    """If only the constant of the Add changed, the product itself would miss the correction."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["xw"]), helper.make_node("Add", ["xw", "b"], ["y"])]
    graph = graph_of(*nodes, outputs="xw y", w=WEIGHT, b=np.ones(CHANNELS))
    before = answers(graph)
    add_to_bias(graph, "w", ADDED)
    for old, new in zip(before, answers(graph), strict=True):
        np.testing.assert_allclose(new, old + ADDED, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("inputs", [["x", "w", "b"], ["x", "w"]])
def test_a_gemm_takes_the_correction_in_its_bias(inputs: list[str]) -> None:
    made = assert_added(graph_of(helper.make_node("Gemm", inputs, ["y"]), w=WEIGHT, b=np.ones(CHANNELS)))
    assert len(list(made.nodes)) == 1


def test_a_bias_that_two_nodes_share_stays_for_the_other_one() -> None:
    nodes = [helper.make_node("Gemm", ["x", name, "b"], [end]) for name, end in (("w", "y"), ("v", "z"))]
    graph = graph_of(*nodes, outputs="y z", w=WEIGHT, v=WEIGHT, b=np.ones(CHANNELS))
    before = answers(graph)
    add_to_bias(graph, "w", ADDED)
    after = answers(graph)
    np.testing.assert_allclose(after[0], before[0] + ADDED, rtol=1e-6)
    np.testing.assert_array_equal(after[1], before[1])


@pytest.mark.parametrize("to_hidden", [None, np.full(CHANNELS, 0.5, np.float32)])
def test_a_cell_keeps_separate_biases_for_x_and_h(to_hidden: Floats | None) -> None:
    node = helper.make_node("RNN", ["x", "w", "r", "b"], ["y"], hidden_size=CHANNELS)
    before = np.arange(2 * CHANNELS, dtype=np.float32)[None]
    graph = graph_of(node, w=WEIGHT.T[None], r=np.zeros((1, CHANNELS, CHANNELS)), b=before)
    add_to_bias(graph, "w", ADDED, to_hidden)
    own = np.zeros(CHANNELS, np.float32) if to_hidden is None else to_hidden
    found = Graph(graph.model).constant("b")
    np.testing.assert_array_equal(found, before + np.concatenate([ADDED, own]))


def test_a_cell_without_biases_gets_them() -> None:
    node = helper.make_node("RNN", ["x", "w", "r"], ["y"], hidden_size=CHANNELS)
    graph = graph_of(node, w=WEIGHT.T[None], r=np.zeros((1, CHANNELS, CHANNELS)))
    add_to_bias(graph, "w", ADDED)
    (made,) = graph.nodes
    found = Graph(graph.model).constant(made.input[3])
    np.testing.assert_array_equal(found, np.concatenate([ADDED, np.zeros_like(ADDED)])[None])
