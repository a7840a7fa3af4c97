"""The values of a graph: one maker each, no circles, sizes that can be, and recurrent weights that fit their cell."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.runtime.errors import ModelError
from tidegate.runtime.graph.structure import MAX_INPUT, MAX_VALUES, check_graph
from tools.hostile import read_itself, second_initializer, set_attribute
from tools.onnx_files import write_lstm


@pytest.fixture
def model(tmp_path: Path) -> onnx.ModelProto:
    return onnx.load(write_lstm(tmp_path / "m.onnx", 6, 8))


def node_of(model: onnx.ModelProto, operator: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == operator)


def set_tensor(model: onnx.ModelProto, name: str, shape: tuple[int, ...]) -> None:
    tensor = next(one for one in model.graph.initializer if one.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.zeros(shape, np.float32), name))


def test_a_good_graph_is_let_through(model: onnx.ModelProto) -> None:
    check_graph(model.graph, "m.onnx")


# ---- one maker for each name ----


def second_maker(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["frame"], ["W"]))


def second_node(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["frame"], ["y"]))


def made_input(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["frame"], ["x"]))


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(model.graph.input[0])


def second_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(model.graph.output[0])


@pytest.mark.parametrize(
    ("change", "name"),
    [
        *((second_initializer, "W"), (second_maker, "W"), (second_node, "y")),
        *((made_input, "x"), (second_input, "x"), (second_output, "output")),
    ],
)
def test_row_19_name_of_two_values_is_refused(
    change: Callable[[onnx.ModelProto], None], name: str, model: onnx.ModelProto
) -> None:
    change(model)
    with pytest.raises(ModelError, match=f"^m.onnx: '{name}' is the name of more than one value"):
        check_graph(model.graph, "m.onnx")


def test_initializer_may_be_an_input_too(model: onnx.ModelProto) -> None:
    """So ONNX wants it up to IR version 3."""
    model.graph.input.append(helper.make_tensor_value_info("W", TensorProto.FLOAT, [1, 32, MAX_INPUT]))
    check_graph(model.graph, "m.onnx")


# ---- circles ----


def two_in_a_circle(model: onnx.ModelProto) -> None:
    node_of(model, "Squeeze").input[0] = "frame"


def circle_of_a_nested_graph(model: onnx.ModelProto) -> None:
    """The body of an If reads what follows from the If."""
    body = helper.make_graph([helper.make_node("Relu", ["output"], ["inner"])], "body", [], [])
    body.output.append(onnx.ValueInfoProto(name="inner"))
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], "if", then_branch=body, else_branch=body))
    node_of(model, "Gemm").input[0] = "z"


def given_back(model: onnx.ModelProto) -> None:
    """The body of an If gives back the output of the If."""
    body = helper.make_graph([helper.make_node("Relu", ["x"], ["inner"])], "body", [], [])
    body.output.append(onnx.ValueInfoProto(name="z"))
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], "if", then_branch=body, else_branch=body))


@pytest.mark.parametrize("change", [read_itself, two_in_a_circle, circle_of_a_nested_graph, given_back])
def test_row_17_graph_with_a_circle_is_refused(
    change: Callable[[onnx.ModelProto], None], model: onnx.ModelProto
) -> None:
    change(model)
    with pytest.raises(ModelError, match=r"^m.onnx: .* reads a value that follows from its own output"):
        check_graph(model.graph, "m.onnx")


def test_nested_graph_with_names_of_its_own_is_no_circle(model: onnx.ModelProto) -> None:
    body = helper.make_graph([helper.make_node("Relu", ["x"], ["z"])], "body", [], [])
    body.output.append(onnx.ValueInfoProto(name="z"))
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], "if", then_branch=body, else_branch=body))
    check_graph(model.graph, "m.onnx")


# ---- sizes ----


@pytest.mark.parametrize("shape", [[2**62], [2**31], [2**16, -1, 2**16], [2**62, 2**62, 2**62]])
@pytest.mark.parametrize("place", ["input", "output", "value_info"])
def test_row_18_value_that_is_too_large_is_refused(model: onnx.ModelProto, place: str, shape: list[int]) -> None:
    getattr(model.graph, place).append(helper.make_tensor_value_info("large", TensorProto.FLOAT, shape))
    with pytest.raises(ModelError, match=r"^m.onnx: 'large' has shape \[.*\], at most (16777216|2147483647) values"):
        check_graph(model.graph, "m.onnx")


def test_input_that_is_too_large_for_a_trial_is_refused(model: onnx.ModelProto) -> None:
    size = model.graph.input[0].type.tensor_type.shape.dim[2]
    size.dim_value = MAX_INPUT
    check_graph(model.graph, "m.onnx")
    size.dim_value = MAX_INPUT + 1
    with pytest.raises(ModelError, match=r"^m.onnx: 'x' has shape \[0, 0, 16777217\], at most 16777216 values"):
        check_graph(model.graph, "m.onnx")


@pytest.mark.parametrize("shape", [[MAX_VALUES], [0, 2**20], [-1, 7], ["time", 2**30]])
def test_value_that_can_be_is_let_through(model: onnx.ModelProto, shape: list[int | str]) -> None:
    model.graph.value_info.append(helper.make_tensor_value_info("large", TensorProto.FLOAT, shape))
    check_graph(model.graph, "m.onnx")


# ---- recurrent weights ----


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("W", (1, 0, 6)),
        ("W", (1, 32, 0)),
        ("W", (2, 32, 6)),
        ("W", (32, 6)),
        ("R", (1, 32, 7)),
        ("R", (1, 28, 8)),
        ("R", ()),
    ],
)
@pytest.mark.parametrize("through", ["", "Identity", "Constant"])
def test_weight_that_does_not_fit_its_cell_is_refused(
    model: onnx.ModelProto, name: str, shape: tuple[int, ...], through: str
) -> None:
    set_tensor(model, name, shape)
    if through == "Constant":
        tensor = next(one for one in model.graph.initializer if one.name == name)
        model.graph.node.insert(0, helper.make_node("Constant", [], ["made"], value=tensor))
    elif through:
        model.graph.node.insert(0, helper.make_node(through, [name], ["made"]))
    if through:
        node_of(model, "LSTM").input[1 if name == "W" else 2] = "made"
    wanted = r"\[1, 32, features\]" if name == "W" else r"\[1, 32, 8\]"
    with pytest.raises(ModelError, match=rf"LSTM 'lstm': {name} has shape \[.*\], wanted {wanted} for hidden_size 8"):
        check_graph(model.graph, "m.onnx")


@pytest.mark.parametrize("size", [0, -1, 4, 9, 2**62])
def test_row_19_hidden_size_that_disagrees_with_the_weights_is_refused(model: onnx.ModelProto, size: int) -> None:
    set_attribute(model, "hidden_size", size)
    with pytest.raises(ModelError, match=f"LSTM 'lstm': .*hidden_size (is )?{size}"):
        check_graph(model.graph, "m.onnx")


def test_cell_without_a_hidden_size_is_refused(model: onnx.ModelProto) -> None:
    """As onnxruntime does."""
    del node_of(model, "LSTM").attribute[:]
    with pytest.raises(ModelError, match="LSTM 'lstm': hidden_size is 0, wanted 1 or more"):
        check_graph(model.graph, "m.onnx")


# ---- what is said, whole ----


def said(model: onnx.ModelProto) -> str:
    with pytest.raises(ModelError) as caught:
        check_graph(model.graph, "m.onnx")
    return str(caught.value)


def test_the_reason_and_the_way_out_are_said(model: onnx.ModelProto) -> None:
    second_node(model)
    assert said(model) == (
        "m.onnx: 'y' is the name of more than one value, wanted a name for each; export the model again"
    )
    model.graph.node.pop()
    set_tensor(model, "R", (1, 32, 7))
    fits = "for hidden_size 8; export the model again"
    assert said(model) == f"m.onnx: LSTM 'lstm': R has shape [1, 32, 7], wanted [1, 32, 8] {fits}"
    set_tensor(model, "W", (1, 31, 6))
    assert said(model) == f"m.onnx: LSTM 'lstm': W has shape [1, 31, 6], wanted [1, 32, features] {fits}"
    set_attribute(model, "hidden_size", 0)
    assert said(model) == "m.onnx: LSTM 'lstm': hidden_size is 0, wanted 1 or more; export the model again"
    read_itself(model)
    assert said(model).endswith(
        " reads a value that follows from its own output; a graph has no circles, export the model again"
    )
    model.graph.value_info.append(helper.make_tensor_value_info("large", TensorProto.FLOAT, [2**31, 0]))
    assert said(model) == "m.onnx: 'large' has shape [2147483648, 0], at most 2147483647 values are allowed"


def test_the_node_of_a_circle_is_named() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Add", ["a", "c"], ["b"], name="second"),
        helper.make_node("Relu", ["b"], ["c"], name="third"),
    ]
    graph = helper.make_graph(nodes, "g", [], [])
    with pytest.raises(ModelError, match=r"^m.onnx: (Add 'second'|Relu 'third') reads a value"):
        check_graph(graph, "m.onnx")


def test_a_graph_inside_reads_initializers_and_inputs_of_its_own(model: onnx.ModelProto) -> None:
    """Their names may be those of values around it that follow from the node."""
    body = helper.make_graph([helper.make_node("Add", ["z", "y"], ["inner"])], "body", [], [])
    body.input.append(onnx.ValueInfoProto(name="z"))
    body.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "y"))
    body.output.append(onnx.ValueInfoProto(name="inner"))
    model.graph.node.append(helper.make_node("Loop", ["", "", "x"], ["z"], "loop", body=body))
    check_graph(model.graph, "m.onnx")
    del body.input[:]
    model.graph.node[-1].attribute[0].g.CopyFrom(body)
    with pytest.raises(ModelError, match=r"Loop 'loop' reads a value that follows from its own output"):
        check_graph(model.graph, "m.onnx")


@pytest.mark.parametrize("domain", ["", "ai.onnx", "own"])
def test_weights_of_cells_of_others_are_not_compared(model: onnx.ModelProto, domain: str) -> None:
    set_tensor(model, "R", (1, 32, 7))
    node_of(model, "LSTM").domain = domain
    if domain == "own":
        check_graph(model.graph, "m.onnx")
    else:
        assert "R has shape [1, 32, 7]" in said(model)


def test_weights_of_two_directions_and_of_other_cells_have_their_rows(model: onnx.ModelProto) -> None:
    node = node_of(model, "LSTM")
    node.attribute.append(helper.make_attribute("direction", "bidirectional"))
    assert "W has shape [1, 32, 6], wanted [2, 32, features]" in said(model)
    set_tensor(model, "W", (2, 32, 1))
    assert "R has shape [1, 32, 8], wanted [2, 32, 8]" in said(model)
    set_tensor(model, "R", (2, 32, 8))
    check_graph(model.graph, "m.onnx")
    node.op_type = "GRU"
    assert "W has shape [2, 32, 1], wanted [2, 24, features]" in said(model)


@pytest.mark.parametrize("through", ["DequantizeLinear", "Relu", "input", "nothing"])
def test_a_weight_is_found_through_its_quantization_and_nothing_else(model: onnx.ModelProto, through: str) -> None:
    set_tensor(model, "R", (1, 32, 7))
    if through == "nothing":
        model.graph.node.append(helper.make_node("Identity", [], ["made"]))
    elif through == "input":
        model.graph.node.append(helper.make_node("Identity", ["x"], ["made"]))
    else:
        model.graph.node.append(helper.make_node(through, ["R"], ["made"]))
    node_of(model, "LSTM").input[2] = "made"
    if through == "DequantizeLinear":
        assert "R has shape [1, 32, 7]" in said(model)
    else:
        check_graph(model.graph, "m.onnx")


def test_a_constant_without_a_value_is_left_to_the_backends(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["made"], value_float=1.0))
    node_of(model, "LSTM").input[2] = "made"
    check_graph(model.graph, "m.onnx")


def test_the_limit_of_an_initializer_among_the_inputs_is_that_of_any_value(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("W", TensorProto.FLOAT, [MAX_VALUES]))
    check_graph(model.graph, "m.onnx")
    model.graph.input[-1].type.tensor_type.shape.dim[0].dim_value += 1
    assert said(model) == "m.onnx: 'W' has shape [2147483648], at most 2147483647 values are allowed"
    assert (MAX_VALUES, MAX_INPUT) == (2**31 - 1, 2**24)
