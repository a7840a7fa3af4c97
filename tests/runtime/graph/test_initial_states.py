"""The initial states of a file: the initializers that its contract names, or zeros."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ContractError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.graph.initial_states import initial_states
from tidegate.runtime.load import load
from tools.onnx_files import name_initial, write_lstm

VALUES = np.array([[[0.5, -3, 2.0**64, 0, 2.0**-60]]], np.float32)


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    """An LSTM 6 -> 5 with the states `lstm.h_in` and `lstm.c_in`."""
    write_lstm(tmp_path / "m.onnx", hidden=5)
    return Graph.load(tmp_path / "m.onnx")


def started(graph: Graph, values: Array) -> Graph:
    """Return the graph whose first state starts from values."""
    name_initial(graph.model, graph.contract.states[0].input, values)
    return Graph(graph.model)


def test_a_state_without_an_initializer_starts_from_zeros(graph: Graph) -> None:
    found = initial_states(graph, graph.contract)
    assert list(found) == [state.input for state in graph.contract.states]
    for values in found.values():
        np.testing.assert_array_equal(values, np.zeros((1, 1, 5), np.float32), strict=True)


def test_the_contract_names_the_initializer_of_a_state(graph: Graph) -> None:
    first, second = graph.contract.states
    with_values = started(graph, VALUES)
    found = initial_states(with_values, with_values.contract)
    np.testing.assert_array_equal(found[first.input], VALUES, strict=True)
    assert not found[second.input].any()


def test_values_that_no_state_has_are_trained_again(graph: Graph) -> None:
    odd = started(graph, VALUES * np.float32(2))
    with pytest.raises(ContractError, match=r"wanted finite values up to 2\^64; train the model again"):
        initial_states(odd, odd.contract)
    again = started(graph, VALUES)
    assert initial_states(again, again.contract)


def test_tiny_values_count_as_zero(graph: Graph) -> None:
    values = np.array([[[1e-30, -1e-40, 2.0**-61, -0.0, 1]]], np.float32)
    with_values = started(graph, values)
    found = initial_states(with_values, with_values.contract)[with_values.contract.states[0].input]
    assert found.tobytes() == np.array([0, 0, 0, 0, 1], np.float32).tobytes()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((1, 5), np.float32), r"float32 \(1, 5\), wanted float32 \(1, 1, 5\)"),
        (np.zeros((1, 1, 6), np.float32), r"float32 \(1, 1, 6\), wanted float32 \(1, 1, 5\)"),
        (np.zeros((1, 1, 5), np.float64), r"float64 \(1, 1, 5\), wanted float32"),
        (np.full((1, 1, 5), np.nan, np.float32), "holds nan, wanted finite values up to 2.64"),
        (np.full((1, 1, 5), -(2.0**70), np.float32), "holds -1.18.*e.21, wanted finite values up to 2.64"),
    ],
)
@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_other_values_are_refused_by_name_on_both_backends(
    graph: Graph, tmp_path: Path, backend: str, values: Array, message: str
) -> None:
    started(graph, values).save(tmp_path / "odd.onnx")
    with pytest.raises(ContractError, match=rf"state '.*h_in' starts from '.*h_in.0', which .*{message}"):
        load(tmp_path / "odd.onnx", backend)  # type: ignore[arg-type] # one of both


def test_a_name_that_the_file_does_not_have_is_refused(graph: Graph) -> None:
    with_values = started(graph, VALUES)
    del with_values.model.graph.initializer[-1]
    without = Graph(with_values.model)
    with pytest.raises(ContractError, match=r"starts from .*h_in.0., which is no initializer of the file"):
        initial_states(without, without.contract)
