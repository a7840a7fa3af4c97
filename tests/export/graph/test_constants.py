"""Values that follow only from constants become constants; all other values stay."""

from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.export.graph.constants import fold_constants, fold_neutral
from tidegate.runtime.errors import ModelError
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


# ---- constants of a hostile file ----

HUGE = 2**40
SIZES = {"one": np.ones((1, 1), np.float32), "huge": np.array([2**20, 2**20]), "long": np.array([HUGE])}


def hostile(*nodes: onnx.NodeProto, **constants: object) -> onnx.ModelProto:
    """Return a model whose output adds up the value `big`."""
    model = made(
        *nodes,
        helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["x", "sum"], ["y"]),
    )
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())
    return model


def _doubling() -> list[onnx.NodeProto]:
    names = ["one", *(f"d{i}" for i in range(1, 40)), "big"]
    return [helper.make_node("Concat", [a, a], [b], b, axis=0) for a, b in pairwise(names)]


def _of(op: str, *inputs: str) -> list[onnx.NodeProto]:
    return [helper.make_node(op, inputs, ["big"], "large")]


GROWING: dict[str, tuple[list[onnx.NodeProto], dict[str, object]]] = {
    "ConstantOfShape": (_of("ConstantOfShape", "huge"), {}),
    "Expand": (_of("Expand", "one", "huge"), {}),
    "Tile": (_of("Tile", "one", "huge"), {}),
    "Pad": (_of("Pad", "flat", "pads"), {"flat": np.ones(1, np.float32), "pads": np.array([0, HUGE])}),
    "Range": (_of("Range", "zero", "end", "step"), {"zero": np.int64(0), "end": np.int64(HUGE), "step": np.int64(1)}),
    "OneHot": (
        _of("OneHot", "at", "depth", "pair"),
        {"at": np.array([0]), "depth": np.int64(HUGE), "pair": np.array([0, 1], np.float32)},
    ),
    "Resize": (
        _of("Resize", "image", "", "", "sizes"),
        {"image": np.ones((1, 1, 1, 1), np.float32), "sizes": np.array([1, 1, 2**20, 2**20])},
    ),
    "doubling": (_doubling(), {}),
    "computed sizes": (
        [helper.make_node("Mul", ["huge", "huge"], ["squares"]), *_of("Expand", "one", "squares")],
        {},
    ),
    "products": (
        [helper.make_node("Expand", ["one", "side"], ["wide"]), *_of("Add", "tall", "wide")],
        {"side": np.array([1, 2**14]), "tall": np.ones((2**14, 1), np.float32)},
    ),
}


@pytest.mark.parametrize("name", GROWING)
def test_row_112_constants_with_far_more_numbers_than_the_file_are_refused(name: str) -> None:
    nodes, constants = GROWING[name]
    with pytest.raises(ModelError, match=r"^\w+ .*: its constants have far more numbers than the file, wanted at most"):
        fold_constants(hostile(*nodes, **SIZES | constants))


@pytest.mark.parametrize("count", [2**10, 2**20])
def test_constants_of_a_few_numbers_are_folded(count: int) -> None:
    model = hostile(*_of("Expand", "one", "side"), **SIZES, side=np.array([1, count]))
    fold_constants(model)
    assert float(np.asarray(Graph(model).constant("sum"))) == count
