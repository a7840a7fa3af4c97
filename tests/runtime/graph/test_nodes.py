"""Facts of a node."""

import pytest
from onnx import helper
from tidegate.runtime.graph.nodes import attributes, is_backward, is_standard, label, opset_of


def test_attributes_come_by_name_with_texts_decoded() -> None:
    node = helper.make_node("LSTM", ["x"], ["y"], direction="reverse", hidden_size=3, activations=["Tanh"])
    assert attributes(node) == {"direction": "reverse", "hidden_size": 3, "activations": [b"Tanh"]}


@pytest.mark.parametrize(("name", "text"), [("head", "Gemm 'head'"), ("", "Gemm 'y'")])
def test_a_node_without_a_name_is_called_by_its_first_output(name: str, text: str) -> None:
    assert label(helper.make_node("Gemm", ["x"], ["y"], name=name)) == text


@pytest.mark.parametrize(("given", "backward"), [({}, False), ({"direction": "reverse"}, True)])
def test_only_a_reverse_node_is_backward(given: dict[str, str], *, backward: bool) -> None:
    assert is_backward(helper.make_node("GRU", ["x"], ["y"], **given)) == backward


def test_the_standard_operator_set_has_two_names_and_may_be_missing() -> None:
    graph = helper.make_graph([], "g", [], [])
    sets = [helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("ai.onnx", 18)]
    assert opset_of(helper.make_model(graph, opset_imports=sets)) == 18
    assert opset_of(helper.make_model(graph, opset_imports=sets[:1])) == 0


@pytest.mark.parametrize(("domain", "standard"), [("", True), ("ai.onnx", True), ("com.microsoft", False)])
def test_a_node_of_another_operator_set_is_not_of_the_standard_one(domain: str, *, standard: bool) -> None:
    assert is_standard(helper.make_node("Gelu", ["x"], ["y"], domain=domain)) == standard
