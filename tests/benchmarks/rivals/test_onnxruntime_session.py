"""Steppers over a session: the graph's own axes, and states paired by name."""

import dataclasses

import numpy as np
import pytest
from tidegate.benchmarks import lstms
from tidegate.benchmarks.rivals import onnxruntime_float32
from tidegate.benchmarks.rivals.onnxruntime_session import graph_chunk, run_stepper
from tidegate.runtime.contract import Port
from tidegate.runtime.errors import ModelError

pytest.importorskip("onnxruntime")

SMALL = lstms.Case("small", 3, 5, 2)
LAYERS = lstms.random_layers(SMALL)
CONTRACT = lstms.contract(LAYERS)


def test_chunks_get_the_axes_of_the_graph() -> None:
    chunk = np.zeros((4, 3), np.float32)
    batch_first = dataclasses.replace(CONTRACT, inputs=(Port("x", 1, 0),))
    unbatched = dataclasses.replace(CONTRACT, inputs=(Port("x", 0, None),))

    assert graph_chunk(CONTRACT, chunk).shape == (4, 1, 3)
    assert graph_chunk(batch_first, chunk).shape == (1, 4, 3)
    assert graph_chunk(unbatched, chunk).shape == (4, 3)


@pytest.mark.parametrize("how", ["IOBinding", "run"])
def test_a_float_model_streams_as_float64_says(how: str) -> None:
    signal = lstms.random_frames(SMALL, 30)
    chunks = [graph_chunk(CONTRACT, chunk) for chunk in np.split(signal, 6)]
    step = onnxruntime_float32.from_model(lstms.streaming_model(LAYERS), CONTRACT, chunks[0])[how]

    answers = np.concatenate([step(chunk).copy() for chunk in chunks])

    np.testing.assert_allclose(answers[:, 0], lstms.exact_answers(LAYERS, signal), atol=1e-6)


def test_several_signal_inputs_are_refused() -> None:
    two = dataclasses.replace(CONTRACT, inputs=(Port("x", 0, 1), Port("z", 0, 1)))

    with pytest.raises(ModelError, match="2 signal inputs"):
        run_stepper(None, two)
