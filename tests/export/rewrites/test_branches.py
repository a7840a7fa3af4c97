"""A branch is opened if its condition is known; else, or if there are too many, it is refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.export.rewrites.branches import open_branches
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.gate import MAX_DEPTH


def _branch(name: str, nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
    return helper.make_graph(nodes, name, [], [onnx.ValueInfoProto(name=nodes[-1].output[0])])


def _nested(depth: int) -> onnx.ModelProto:
    """Return nested If nodes with a constant condition; the innermost branch doubles x."""
    inner = [helper.make_node("Add", ["x", "x"], ["y0"])]
    for level in range(1, depth + 1):
        other = _branch(f"else{level}", [helper.make_node("Neg", ["x"], [f"n{level}"])])
        condition = helper.make_node("Constant", [], [f"t{level}"], value=numpy_helper.from_array(np.array(True)))
        node = helper.make_node(
            "If",
            [f"t{level}"],
            [f"y{level}"],
            f"If{level}",
            then_branch=_branch(f"then{level}", inner),
            else_branch=other,
        )
        inner = [condition, node]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])
    y = helper.make_tensor_value_info(inner[-1].output[0], TensorProto.FLOAT, [3])
    return helper.make_model(helper.make_graph(inner, "nested", [x], [y]), opset_imports=[helper.make_opsetid("", 17)])


def _never(_model: onnx.ModelProto, _names: object) -> dict[str, Array]:
    return {}


def test_nested_conditions_are_opened() -> None:
    model = _nested(MAX_DEPTH)
    assert len(open_branches(model, _never)) == MAX_DEPTH
    assert [node.op_type for node in model.graph.node] == ["Add", "Identity"]
    onnx.checker.check_model(model, full_check=True)


def test_a_condition_that_depends_on_the_signal_is_refused() -> None:
    model = _nested(1)
    model.graph.node[0].CopyFrom(helper.make_node("Cast", ["x"], ["t1"], to=TensorProto.BOOL))
    with pytest.raises(UnsupportedError, match=r"If 'If1': its condition 't1' depends on 'x', .*\(--set x=VALUE\)"):
        open_branches(model, _never)


def test_a_condition_may_follow_from_sizes() -> None:
    model = _nested(1)
    model.graph.node[0].CopyFrom(helper.make_node("Cast", ["x"], ["t1"], to=TensorProto.BOOL))
    assert open_branches(model, lambda _, names: {names[0]: np.array(False)}) == ["If 'If1'"]
    assert [node.op_type for node in model.graph.node] == ["Neg", "Identity"]


def test_branches_with_equal_names_are_kept_apart() -> None:
    """Each branch is a scope, so two If nodes may use one name for different values."""
    model = _nested(1)
    second = onnx.NodeProto()
    second.CopyFrom(model.graph.node[1])
    second.name, second.output[0] = "If2", "z"
    for attribute in second.attribute:
        attribute.g.node[0].op_type = "Mul" if attribute.name == "then_branch" else "Abs"
    model.graph.node.append(second)
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [3]))
    open_branches(model, _never)
    onnx.checker.check_model(model, full_check=True)
    assert sorted(node.op_type for node in model.graph.node) == ["Add", "Identity", "Identity", "Mul"]
