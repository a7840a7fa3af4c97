"""Values that follow only from constants become constants; all other values stay."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tidegate.export.graph.constants import fold_constants, fold_neutral
from tidegate.runtime.graph.graph import Graph


def made(*nodes: onnx.NodeProto, **constants: object) -> onnx.ModelProto:
    """Return a model x [2] -> y with named constants."""
    value = helper.make_tensor_value_info
    tensors = [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()]
    ends = [value("x", TensorProto.FLOAT, [2])], [value("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "made", *ends, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


NODES = (
    helper.make_node("Mul", ["a", "a"], ["square"]),
    helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.ones(2, np.float32))),
    helper.make_node("Add", ["square", "one"], ["sum"]),
    helper.make_node("Mul", ["x", "sum"], ["y"]),
)


def test_chain_becomes_one_constant() -> None:
    model = made(*NODES, a=[2, 3])
    fold_constants(model)
    graph = Graph(model)
    assert [node.op_type for node in graph.nodes] == ["Constant", "Mul"]
    np.testing.assert_array_equal(np.asarray(graph.constant("sum")), [5, 10])
    assert graph.constant("square") is None  # nothing reads it any more


def test_only_chosen_operators_fold() -> None:
    model = made(*NODES, a=[2, 3])
    fold_constants(model, {"Mul"})
    assert [node.op_type for node in model.graph.node] == ["Constant", "Add", "Mul"]


def test_output_of_the_graph_may_be_a_constant() -> None:
    model = made(helper.make_node("Neg", ["a"], ["y"]), a=[1, 2])
    fold_constants(model)
    np.testing.assert_array_equal(np.asarray(Graph(model).constant("y")), [-1, -2])


def test_random_numbers_and_absent_operands_stay_what_they_are() -> None:
    model = made(
        helper.make_node("RandomNormalLike", ["a"], ["noise"]),
        helper.make_node("Clip", ["a", "", "b"], ["bounded"]),
        helper.make_node("Sum", ["x", "noise", "bounded"], ["y"]),
        a=[1, 9],
        b=4,
    )
    fold_constants(model)
    assert [node.op_type for node in model.graph.node] == ["RandomNormalLike", "Sum"]
    np.testing.assert_array_equal(np.asarray(Graph(model).constant("bounded")), [1, 4])


def test_neutral_constants_leave_an_identity() -> None:
    tensors = [numpy_helper.from_array(np.array(v, np.float32), name) for name, v in (("zero", 0), ("one", [1]))]
    nodes = [
        helper.make_node("Add", ["zero", "x"], ["a"]),
        helper.make_node("Mul", ["a", "one"], ["b"]),
        helper.make_node("Div", ["one", "b"], ["c"]),
    ]
    x, c = (onnx.ValueInfoProto(name=name) for name in ("x", "c"))
    model = helper.make_model(helper.make_graph(nodes, "neutral", [x], [c], tensors))
    fold_neutral(model)
    assert [(node.op_type, list(node.input)) for node in model.graph.node] == [
        ("Identity", ["x"]),
        ("Identity", ["a"]),
        ("Div", ["one", "b"]),
    ]


def test_a_constant_that_only_a_body_reads_stays() -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("h", "frame", "next")]
    inner = helper.make_graph([helper.make_node("Mul", ["frame", "square"], ["next"])], "body", values[:2], values[2:])
    scan = helper.make_node("Scan", ["a", "x"], ["y"], body=inner, num_scan_inputs=1)
    model = made(NODES[0], scan, a=[2, 3])
    fold_constants(model)
    assert [node.op_type for node in model.graph.node] == ["Scan"]
    np.testing.assert_array_equal(np.asarray(Graph(model).constant("square")), [4, 9])
