"""The signals of a step: before its first products, whatever the step joins them with."""

import numpy as np
import pytest
from onnx import helper
from tidegate.export.written_cells.signals import find_signals
from tidegate.runtime.graph.graph import Graph
from tools.graphs import model_of
from tools.written_steps import CUTS, Style, Writer, gru, lstm, states_of


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("gemm", [False, True])
def test_the_signal_of_a_step_is_x(cut: str, joined: bool, gemm: bool) -> None:
    style = Style(cut=cut, joined=joined, gemm=gemm)
    for model in (lstm(style), gru(style, before=True), gru(style, before=False)):
        assert find_signals(Graph(model), states_of(model)) == ["x"]


@pytest.mark.parametrize("joined", [False, True])
def test_a_layer_before_the_step_stays_before_it(joined: bool) -> None:
    """Only the product whose answer is added to the gates belongs to the step."""
    step = lstm(Style(joined=joined))
    front = helper.make_node("MatMul", ["features", "front"], ["x"])
    model = model_of([front, *step.graph.node], {"features": (1, 5), "h": (1, 4), "c": (1, 4)}, ["h_next", "c_next"])
    model.graph.initializer.extend(step.graph.initializer)
    model.graph.initializer.append(helper.make_tensor("front", 1, (5, 3), np.ones(15)))
    assert find_signals(Graph(model), states_of(model)) == ["x"]


def test_two_signals_come_in_the_order_of_the_file() -> None:
    made = Writer(Style())
    ours, theirs = (made.product(name, made.weight(size, 4), bias=name == "x") for name, size in (("x", 3), ("s", 2)))
    both = made.add("Add", ours, theirs)
    model = made.model(h=made.add("Tanh", made.add("Add", both, made.product("h", made.weight(4, 4), bias=False))))
    assert find_signals(Graph(model), {"h": "h_next"}) == ["x", "s"]


def test_a_value_that_is_no_product_is_the_signal_itself() -> None:
    made = Writer(Style())
    front = made.add("Relu", "x")
    model = made.model(h=made.add("Tanh", made.add("Add", front, made.product("h", made.weight(4, 4), bias=False))))
    assert find_signals(Graph(model), {"h": "h_next"}) == [front]


@pytest.mark.parametrize("cut", CUTS)
def test_a_hard_gate_ends_what_its_signal_is_multiplied_with(cut: str) -> None:
    """Its Clip is an activation too: the product with the reset state comes after it."""
    model = gru(Style(cut=cut, gates="hard"), before=True)
    assert find_signals(Graph(model), states_of(model)) == ["x"]
