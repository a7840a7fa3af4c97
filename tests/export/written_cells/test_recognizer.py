"""A step written out in small operators is recognized by what it computes, in any style."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from tidegate.export.written_cells.recognizer import WrittenCell, recognize
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tools.graphs import floats, model_of
from tools.written_steps import CUTS, Style, Writer, gru, lstm, node_model, rnn, run, shapes_of, states_of

STYLES = st.builds(
    Style,
    seed=st.integers(0, 1000),
    cut=st.sampled_from(CUTS),
    joined=st.booleans(),
    gemm=st.booleans(),
    biases=st.integers(0, 2),
    complement=st.booleans(),
    difference=st.booleans(),
    gates=st.sampled_from(["Sigmoid", "HardSigmoid", "hard"]),
    new=st.sampled_from(["Tanh", "Relu", "Softsign", "Elu", "LeakyRelu"]),
    last=st.sampled_from(["Tanh", "Relu", "Softsign"]),
)


def recognized(model: onnx.ModelProto) -> WrittenCell:
    return recognize(Graph(model), shapes_of(model), states_of(model))


def assert_same(model: onnx.ModelProto) -> WrittenCell:
    """The recognized node computes the same as the step, from several states."""
    found = recognized(model)
    node = node_model(found.operator, found.attributes, found.weights, found.states)
    for seed in range(3):
        feeds = {name: floats(*shape, seed=seed) for name, shape in shapes_of(model).items()}
        wanted, seen = run(model, feeds), run(node, feeds)
        for name, values in wanted.items():
            np.testing.assert_allclose(seen[name], values, rtol=2e-5, atol=2e-6, err_msg=name)
    return found


@settings(deadline=None)
@given(style=STYLES, coupled=st.booleans())
def test_an_lstm_in_any_style(style: Style, coupled: bool) -> None:
    found = assert_same(lstm(style, coupled=coupled))
    assert (found.operator, found.states) == ("LSTM", ("h", "c"))
    assert ("input_forget" in found.attributes) == coupled


@settings(deadline=None)
@given(style=STYLES)
def test_an_lstm_with_peepholes(style: Style) -> None:
    assert "P" in assert_same(lstm(style, peepholes=True)).weights


@settings(deadline=None)
@given(style=STYLES, before=st.booleans())
def test_a_gru_with_its_reset_gate_before_and_after_the_product(style: Style, before: bool) -> None:
    found = assert_same(gru(style, before=before))
    assert found.operator == "GRU"
    assert found.attributes.get("linear_before_reset", 0) == int(not before)


@settings(deadline=None)
@given(style=STYLES)
def test_an_rnn_in_any_style(style: Style) -> None:
    found = assert_same(rnn(style))
    assert found.operator == "RNN"
    assert found.attributes.get("activations", ["Tanh"]) == [style.new]


def test_an_lstm_whose_hidden_state_is_projected() -> None:
    made = Writer(Style())
    i, f, g, o = (made._products(made.hidden, "h") for _ in range(4))
    cell = made.add("Add", made.add("Mul", made.gate(f), "c"), made.add("Mul", made.gate(i), made.add("Tanh", g)))
    inner = made.add("Mul", made.gate(o), made.add("Tanh", cell))
    weights = made.weight(made.hidden, made.hidden)
    found = recognized(made.model(h=made.add("MatMul", inner, weights), c=cell))
    assert found.projection is not None
    np.testing.assert_array_equal(found.projection.T, made.tensors[weights])


def test_an_lstm_with_a_bound_on_what_its_activations_read() -> None:
    made = Writer(Style())
    low, high = made.number(-0.5), made.number(0.5)
    i, f, g, o = (made.add("Clip", read, low, high) for read in made.affine(4))
    cell = made.add("Add", made.add("Mul", made.gate(f), "c"), made.add("Mul", made.gate(i), made.add("Tanh", g)))
    last = made.add("Tanh", made.add("Clip", cell, low, high))
    found = recognized(made.model(h=made.add("Mul", made.gate(o), last), c=cell))
    assert found.attributes == {"hidden_size": 4, "clip": 0.5}


def test_a_state_of_one_value() -> None:
    made = Writer(Style(), hidden=1)
    z, r = map(made.gate, made.affine(2))
    scaled = made.add("Mul", made.add("Mul", "h", made.number(0.7)), r)
    new = made.add("Tanh", made.add("Add", made.product("x", made.weight(3, 1), bias=True), scaled))
    mixed = made.add("Add", made.add("Mul", z, "h"), made.add("Mul", made.one_minus(z), new))
    assert assert_same(made.model(h=mixed)).operator == "GRU"


def test_a_step_of_shapes_that_are_computed() -> None:
    made = Writer(Style())
    z, new = map(made.gate, made.affine(2))
    shape = made.add("Shape", "h")
    ones = made.add("ConstantOfShape", shape, value=helper.make_tensor("one", 1, [1], [1.0]))
    reset = made.add("Mul", made.gate(made.affine(1)[0]), "h")
    new = made.add("Tanh", made.affine(1, state=reset)[0])
    kept = made.add("Mul", z, "h")
    mixed = made.add("Add", made.add("Mul", made.add("Sub", ones, z), new), kept)
    flat = made.add("Reshape", made.add("Flatten", mixed), shape)
    assert assert_same(made.model(h=flat)).operator == "GRU"


def refused(made: Writer, **nexts: str) -> str:
    with pytest.raises(UnsupportedError) as caught:
        recognized(made.model(**nexts))
    return str(caught.value)


def test_a_leaky_state_is_refused_by_its_terms() -> None:
    made = Writer(Style())
    new = made.add("Tanh", made.affine(1)[0])
    kept = made.add("Mul", "h", made.number(0.9))
    leaky = made.add("Add", kept, made.add("Mul", new, made.number(0.1)))
    message = refused(made, h=leaky)
    assert message.startswith(f"the step of state h is no GRU: the next state is '0.9 h + 0.1 {new}', wanted z h + (1")


def test_a_gate_that_reads_anything_else_is_refused_by_the_value() -> None:
    made = Writer(Style())
    read = made.add("Mul", "x", "x")
    product = made.add("MatMul", made.add("Concat", read, "h", axis=1), made.weight(7, 4))
    new = made.add("Tanh", product)
    assert f"value '{new}' reads 'x x', wanted only the signal, the hidden state" in refused(made, h=new)


def test_another_operator_is_refused_by_its_node() -> None:
    made = Writer(Style())
    norm = made.add("Softmax", made.affine(1)[0])
    message = refused(made, h=made.add("Tanh", norm))
    assert f"Softmax '{norm}': is an operator that no LSTM, GRU or RNN has" in message


def test_gates_of_several_activations_are_refused() -> None:
    made = Writer(Style())
    i, f, g, o = made.affine(4)
    cell = made.add("Mul", made.add("HardSigmoid", i), made.add("Tanh", g))
    cell = made.add("Add", made.add("Mul", made.add("Sigmoid", f), "c"), cell)
    message = refused(made, h=made.add("Mul", made.add("Sigmoid", o), made.add("Tanh", cell)), c=cell)
    assert "its gates have the activations HardSigmoid, Sigmoid, wanted the same for all gates" in message


def test_a_step_that_reads_another_value_is_refused() -> None:
    made = Writer(Style())
    new = made.add("Tanh", made.add("Add", made.affine(1)[0], "other"))
    model = model_of(made.nodes, {"x": (1, 3), "h": (1, 4), "other": (1, 4)}, ["out"], made.tensors)
    with pytest.raises(UnsupportedError, match="reads 'other', wanted only the signal, the states and constants"):
        recognize(Graph(model), {"x": (1, 3), "h": (1, 4)}, {"h": new})


def test_three_states_that_depend_on_each_other_are_refused() -> None:
    graph = Graph(model_of([], {}, []))
    with pytest.raises(UnsupportedError, match="3 states \\(a, b, c\\) depend on each other, wanted 1 or 2"):
        recognize(graph, {}, {"a": "a", "b": "b", "c": "c"})
