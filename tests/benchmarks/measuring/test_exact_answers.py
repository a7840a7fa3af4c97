"""The float64 run: it equals the equations of each cell, and the chunks do not matter."""

import numpy as np
import pytest
from tidegate.benchmarks.measuring.exact_answers import exact_answers
from tidegate.benchmarks.nets import stacks
from tidegate.runtime.cells import STANDARD
from tidegate.runtime.errors import ModelError
from tidegate.runtime.graph.graph import Graph


@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize("cell", STANDARD)
def test_any_chunk_size_gives_the_same(cell: str, steps: int) -> None:
    case = stacks.Case("small", 3, 5, 2, cell)
    layers, frames = stacks.random_layers(case), stacks.random_frames(case, 21)
    graph = Graph(stacks.streaming_model(layers))

    found = exact_answers(graph, np.split(frames, 21 // steps))

    assert found.dtype == np.float64
    np.testing.assert_allclose(found, exact_answers(graph, [frames]), rtol=0, atol=1e-15)
    if cell == "LSTM":
        np.testing.assert_allclose(found, stacks.exact_answers(layers, frames), rtol=0, atol=1e-15)


def test_a_graph_that_the_reference_does_not_run_is_refused() -> None:
    model = stacks.streaming_model(stacks.random_layers(stacks.Case("small", 3, 5, 1)))
    model.graph.node[0].domain = "com.microsoft"

    with pytest.raises(ModelError, match="no float64 run"):
        exact_answers(Graph(model), [np.zeros((2, 3), np.float32)])
