"""A step in one form: what changes from step to step, what is needed, and names that do not collide."""

import onnx
from onnx import TensorProto, helper
from tidegate.export.foreign.bodies.step import Answers, Carried, Frames, Step, own_body, tidied
from tools.graphs import model_of


def _item(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2])


def _scan() -> onnx.ModelProto:
    """Return a Scan whose body names its input as the graph around it, and doubles a weight in each step."""
    nodes = [
        helper.make_node("Add", ["weight", "weight"], ["double"], "double"),
        helper.make_node("Mul", ["x", "double"], ["scaled"], "scaled"),
        helper.make_node("Add", ["h", "scaled"], ["y"], "y"),
    ]
    body = helper.make_graph(nodes, "body", [_item("h"), _item("x")], [_item("y")])
    node = helper.make_node("Scan", ["start", "x"], ["final"], "scan", body=body, num_scan_inputs=1)
    return model_of([node], {"start": [1, 2], "x": ["time", 1, 2]}, ["final"], {"weight": [[1.0, 2.0]]})


def test_what_is_the_same_in_each_step_leaves_the_body() -> None:
    model = _scan()
    body = own_body(model, model.graph.node[0])
    assert [node.op_type for node in body.node] == ["Mul", "Add"]
    [folded] = [t for t in model.graph.initializer if t.name == "double"]
    assert onnx.numpy_helper.to_array(folded).tolist() == [[2.0, 4.0]]


def test_names_of_the_graph_around_are_not_those_of_the_body() -> None:
    model = _scan()
    body = own_body(model, model.graph.node[0])
    assert [item.name for item in body.input] == ["h", "scan/x"]
    assert list(body.node[0].input) == ["scan/x", "double"]


def _step() -> Step:
    nodes = [
        helper.make_node("Identity", ["x"], ["seen"]),
        helper.make_node("Add", ["h", "seen"], ["sum"]),
        helper.make_node("Identity", ["sum"], ["answer"]),
        helper.make_node("Add", ["count", "one"], ["counted"]),
        helper.make_node("Mul", ["table", "x"], ["looked_up"]),
        helper.make_node("Identity", ["table"], ["table_out"]),
    ]
    carried = (
        Carried("h0", "h", "sum", ""),
        Carried("zero", "count", "counted", "counts"),
        Carried("weights", "table", "table_out", "table_final"),
    )
    answers = (Answers("answer", "answers"), Answers("looked_up", "unread"))
    node = helper.make_node("Scan", ["h0"], ["answers"], "scan")
    return Step(node, tuple(nodes), (Frames("xs", "x"),), carried, answers, ())


def test_only_what_is_needed_stays() -> None:
    step = tidied(_step(), {"answers"})
    assert [(node.op_type, list(node.input)) for node in step.nodes] == [("Add", ["h", "x"])]
    assert step.carried == (Carried("h0", "h", "sum", ""),)
    assert step.answers == (Answers("sum", "answers"),)
    assert [(link.input[0], link.output[0]) for link in step.links] == [("weights", "table_final")]


def test_a_value_that_no_step_changes_is_that_of_the_graph_around() -> None:
    step = tidied(_step(), {"unread"})
    assert [(node.op_type, list(node.input)) for node in step.nodes] == [("Mul", ["weights", "x"])]
    assert step.carried == ()


def test_a_counter_that_is_read_stays() -> None:
    assert [each.final for each in tidied(_step(), {"counts"}).carried] == ["counts"]
