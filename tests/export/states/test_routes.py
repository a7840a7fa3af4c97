"""Routes of states through a foreign graph: every value of a state is followed, whatever moves it."""

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.export.states.routes import MAX_VALUES, arrivals, moved_from, number_inputs, origins, sources
from tidegate.runtime.errors import ContractError
from tidegate.runtime.graph.graph import Graph
from tools import foreign_files
from tools.graphs import floats, model_of


def test_each_input_value_has_its_own_number() -> None:
    numbers = number_inputs(foreign_files.with_states())
    assert {name: values.shape for name, values in numbers.items()} == {
        "x": (1, 1, 5),
        "h0": (2, 1, 6),
        "c0": (2, 1, 6),
    }
    every = np.concatenate([values.ravel() for values in numbers.values()])
    assert sorted(every) == list(range(5 + 12 + 12))


def test_an_input_too_large_gets_no_numbers() -> None:
    model = model_of([], {"large": [MAX_VALUES + 1], "small": [3]}, [])
    assert list(number_inputs(model)) == ["small"]


def test_the_origin_of_each_state_is_found_through_slices() -> None:
    model = foreign_files.with_states()
    numbers = number_inputs(model)
    found = [(source.slot.kind, source.name, source.numbers) for source in sources(model, numbers)]
    rows = {name: [tuple(values[i, 0]) for i in range(2)] for name, values in numbers.items() if name != "x"}
    assert found == [(kind, name, rows[name][i]) for i in range(2) for kind, name in (("h", "h0"), ("c", "c0"))]


@pytest.mark.parametrize(
    ("model", "pairs"),
    [
        (foreign_files.with_states([("a", "u"), ("b", "v")]), {"u": "a", "v": "b"}),
        (foreign_files.with_states([("h", "cn"), ("c", "hn")]), {"cn": "h", "hn": "c"}),
        (foreign_files.dtln(), {"tf_op_layer_stack_2": "input_3"}),
        (foreign_files.one_frame("GRU"), {"h_next": "h_prev"}),
    ],
    ids=["names that say nothing", "names that lie", "one tensor taken apart", "one frame"],
)
def test_each_value_comes_back_to_its_place(model: onnx.ModelProto, pairs: dict[str, str]) -> None:
    numbers = number_inputs(model)
    found = arrivals(model, sources(model, numbers))
    assert found.keys() == pairs.keys(), "answers that are more than a final state are not among them"
    for output, name in pairs.items():
        np.testing.assert_array_equal(found[output], numbers[name])


def _started(nodes: list[onnx.NodeProto], **inputs: list[int]) -> onnx.ModelProto:
    """Return a GRU of 6 units that starts from `start`."""
    gru = helper.make_node("GRU", ["x", "w", "r", "", "", "start"], ["y", "h"], "gru", hidden_size=6)
    tensors = {"w": floats(1, 18, 5), "r": floats(1, 18, 6), "axes": np.array([0])}
    return model_of([*nodes, gru], {"x": [1, 1, 5], **inputs}, ["y"], tensors)


def test_a_state_of_two_inputs_is_refused() -> None:
    join = helper.make_node("Concat", ["a", "b"], ["start"], axis=2)
    model = _started([join], a=[1, 1, 2], b=[1, 1, 4])
    with pytest.raises(ContractError, match=r"GRU 'gru': initial_h is made of .* one input; give each state its own"):
        sources(model, number_inputs(model))
    alone = _started([], start=[1, 1, 6])
    assert [source.name for source in sources(alone, number_inputs(alone))] == ["start"]


def test_a_state_of_a_wrong_number_of_values_is_refused() -> None:
    model = _started([helper.make_node("Unsqueeze", ["a", "axes"], ["start"])], a=[1, 4])
    with pytest.raises(ContractError, match=r"initial_h gets 4 values of 'a' for one stream, wanted 6"):
        sources(model, number_inputs(model))


def test_only_moves_and_joins_are_followed() -> None:
    nodes = [
        helper.make_node("Transpose", ["a"], ["turned"]),
        helper.make_node("Concat", ["turned", "b"], ["joined"], axis=0),
        helper.make_node("Relu", ["b"], ["made"]),
        helper.make_node("Concat", ["joined", "made"], ["both"], axis=0),
    ]
    graph = Graph(model_of(nodes, {"a": [2, 2], "b": [2, 2]}, ["both"]))
    assert sorted(moved_from(graph, "both")) == ["a", "b", "made"]
    assert sorted(moved_from(graph, "both", {"joined"})) == ["joined", "made"]
    assert sorted(origins(graph, "joined", {"a", "b"})) == ["a", "b"]
    assert origins(graph, "both", {"a", "b"}) == []
