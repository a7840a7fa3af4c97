"""Small edits of graphs."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.export.graph.editing import (
    add_constant,
    forget_origin,
    inferred,
    remove_dead,
    rename,
    set_nodes,
    value_names,
)
from tidegate.runtime.errors import ModelError

MakeGraph = Callable[..., onnx.ModelProto]


def _with_branch() -> onnx.ModelProto:
    """Return a model in which only a branch of an If reads `outer`."""
    result = helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1])
    branch = helper.make_graph([helper.make_node("Identity", ["outer"], ["inner"])], "branch", [], [result])
    nodes = [
        helper.make_node("Relu", ["x"], ["outer"]),
        helper.make_node("Neg", ["x"], ["unused"]),
        helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    return helper.make_model(helper.make_graph(nodes, "main", [x, flag], [y]))


def test_dead_nodes_go_and_what_a_branch_reads_stays() -> None:
    model = _with_branch()
    remove_dead(model)
    assert [node.op_type for node in model.graph.node] == ["Relu", "If"]


def test_dead_weights_go(make_graph: MakeGraph) -> None:
    model = make_graph()
    model.graph.initializer.append(helper.make_tensor("unread", TensorProto.FLOAT, [1], [0.0]))
    remove_dead(model)
    assert "unread" not in value_names(model)


def test_a_constant_takes_a_free_name_and_keeps_its_values() -> None:
    model = _with_branch()
    for values, name in ((np.array(3), "outer_1"), (np.arange(6).reshape(2, 3).T, "outer_2")):
        assert add_constant(model, "outer", values) == name
        np.testing.assert_array_equal(numpy_helper.to_array(model.graph.initializer[-1]), values, strict=True)


def test_nodes_are_set_from_those_of_the_graph_itself() -> None:
    model = _with_branch()
    set_nodes(model, (node for node in model.graph.node if node.op_type != "Neg"))
    assert [node.op_type for node in model.graph.node] == ["Relu", "If"]


def test_a_rename_reaches_branches() -> None:
    model = _with_branch()
    rename(model, "outer", "renamed")
    onnx.checker.check_model(model)
    assert model.graph.node[0].output[0] == "renamed"
    assert model.graph.node[2].attribute[0].g.node[0].input[0] == "renamed"


def test_notes_on_the_origin_are_forgotten() -> None:
    model = _with_branch()
    model.doc_string = model.graph.doc_string = "made in a home directory"
    model.graph.node[0].doc_string = "net.py:12"
    model.graph.node[2].attribute[0].g.node[0].doc_string = "net.py:13"
    helper.set_model_props(model, {"source": "net.py"})
    forget_origin(model)
    assert b"net.py" not in model.SerializeToString()
    assert b"home" not in model.SerializeToString()


def test_shapes_that_onnx_cannot_infer_are_an_error_of_ours() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [value], [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    graph.output.add(name="y")
    assert [one.name for one in inferred(model).input] == ["x"]
    model.opset_import[0].domain = "other"
    with pytest.raises(ModelError, match=r"shapes of its values cannot be inferred: .*No opset import"):
        inferred(model)
