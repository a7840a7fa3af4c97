"""The trace refuses a graph that does not fit its contract, and values that it cannot follow."""

import numpy as np
import pytest
from onnx import helper
from tidegate.runtime.contract import METADATA_KEY, Port, State
from tidegate.runtime.errors import ContractError, ModelError, UnsupportedError
from tidegate.runtime.load import load
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.operators import LastCell, Linear, Lstm, Operator
from tools.drafts import HIDDEN, Build, Draft, part, refuses, stacked


def weight_first(d: Draft) -> None:
    d.answer(d.add("MatMul", d.weights(3, HIDDEN, axis=1), d.layer("x")))


def cell_as_answer(d: Draft) -> None:
    d.lstm("x")
    d.answer(d.squeeze(d.states[1].output, 0), None, 0)


def cell_into_linear(d: Draft) -> None:
    d.lstm("x")
    d.answer(d.add("MatMul", d.squeeze(d.states[1].output, 0), d.weights(HIDDEN, 3, axis=1)), None, 0)


def two_inputs(d: Draft) -> None:
    d.inputs.append(Port("x2", 0, 1))
    d.answer(d.layer("x"))


def input_of_two_features(d: Draft) -> None:
    d.inputs = [Port("x", 0, None)]
    d.answer(d.layer("x"))


def input_without_time(d: Draft) -> None:
    d.inputs = [Port("x", None, 1)]
    d.answer(d.layer("x"))


def output_of_another_axis(time: int | None) -> Build:
    return lambda d: d.answer(d.layer("x"), time)


def last_frame_called_timed(d: Draft) -> None:
    d.answer(d.gather(d.layer("x"), -1), 0, 1)


def relabelled(h: str, c: str) -> Build:
    """A contract whose state outputs differ from those of the graph."""

    def build(d: Draft) -> None:
        d.answer(d.layer("x"))
        names = {"h": d.states[0].output, "c": d.states[1].output, "y": d.ports[0].name, "x": "x"}
        d.ports = [Port(d.add("Identity", d.ports[0].name), 0, 1)]
        d.states = [
            State(s.input, names[n], s.kind, s.shape) for s, n in zip(d.states, (h, c), strict=True) if n in names
        ]

    return build


def states_joined_in_another_order(d: Draft) -> None:
    y, _ = stacked(d)
    d.nodes[-1] = helper.make_node("Concat", ["hn1", "hn0"], d.nodes[-1].output, axis=0)
    d.answer(y)


def same_start(d: Draft) -> None:
    start = d.state()
    d.answer(d.squeeze(d.lstm("x", start=start), 1))
    d.answer(d.squeeze(d.lstm("x", start=start, final=("hn", "cn")), 1))


REFUSALS: dict[str, tuple[Build, type[ModelError], str]] = {
    "weight first": (part(weight_first), UnsupportedError, "is not a signal that the engine can follow"),
    "two inputs": (
        two_inputs,
        UnsupportedError,
        "2 signal inputs, a stream takes one; join them into one [batch, frames, features], and take it apart in the",
    ),
    "two feature axes": (
        part(input_of_two_features),
        ContractError,
        "input 'x' has no fixed number of features",
    ),
    "no time axis": (part(input_without_time), UnsupportedError, "input 'x' has axes (feature, batch, feature)"),
    "another time axis": (output_of_another_axis(1), ContractError, "has time axis 1, the graph says 0"),
    "time axis left out": (output_of_another_axis(None), ContractError, "has time axis None, the graph says 0"),
    "time axis of a frame": (last_frame_called_timed, ContractError, "has time axis 0, the graph says None"),
    "states swapped": (relabelled("c", "h"), ContractError, "does not come from the layers that read"),
    "state from a signal": (relabelled("y", "c"), ContractError, "state output 'v"),
    "state not connected": (relabelled("x", "c"), ContractError, "is named more than once"),
    "states in another order": (states_joined_in_another_order, ContractError, "does not come from the layers that"),
}


@pytest.mark.parametrize("form", REFUSALS)
def test_form_that_the_engine_lacks_is_refused_by_name(form: str) -> None:
    refuses(*REFUSALS[form])


@pytest.mark.parametrize("what", ["input", "state"])
def test_name_of_the_contract_that_the_graph_lacks_is_refused(what: str) -> None:
    d = Draft()
    d.answer(d.layer("x"))
    made = d.graph()
    name = "x" if what == "input" else d.states[0].input
    text = made.metadata(METADATA_KEY) or ""
    made.set_metadata(METADATA_KEY, text.replace(f'"{name}"', '"absent"'))
    with pytest.raises(ContractError, match=f"contract: {what} 'absent' is not an input of the graph"):
        lower(made)


def repeated(count: int) -> Draft:
    """Return a draft of as many operations."""
    d, name = Draft(), "x"
    for _ in range(count):
        name = d.add("Relu", name)
    d.answer(name)
    return d


def test_a_program_has_at_most_1024_operations() -> None:
    assert len(repeated(1024).program().ops) == 1024
    large = repeated(1025).graph()
    message = "it is one operation more than the 1024 that the engine takes; use backend='onnxruntime'$"
    with pytest.raises(UnsupportedError, match=rf"^the node of '\w+': {message}"):
        lower(large)
    data = large.model.SerializeToString()
    assert load(data, "onnxruntime").stream().push(np.ones((1, 4), np.float32)).shape == (1, 4)


def test_two_nodes_cannot_start_from_one_state() -> None:
    refuses(same_start, UnsupportedError, "LSTM 'lstm2': it starts from entry 0 of 'v0.h', as another node does")


@pytest.mark.parametrize(("build", "after"), [(cell_as_answer, []), (cell_into_linear, [Linear])])
def test_a_final_c_is_read_from_its_layer(build: Build, after: list[type[Operator]]) -> None:
    d = Draft()
    build(d)
    program = d.program()
    assert [type(op) for op in program.ops] == [Lstm, LastCell, *after]
    assert program.ops[1].inputs == (1,)
    assert program.widths[2] == HIDDEN
