"""A model that looks ahead, stage by stage: the answers are those of the whole signal, however it is cut."""

from itertools import pairwise
from math import prod

import numpy as np
import pytest
from onnx import helper, numpy_helper
from tidegate.runtime.arrays import Array
from tidegate.runtime.backends.onnxruntime import OnnxruntimeModel
from tidegate.runtime.backends.onnxruntime_stages import StagedModel
from tidegate.runtime.contract import METADATA_KEY, Ahead, Contract, Port
from tidegate.runtime.errors import ModelError
from tidegate.runtime.graph.graph import Graph
from tools.graphs import floats, model_of, run

CHANNELS, FRAMES = 2, 9
SIGNAL = floats(FRAMES, CHANNELS)


def graph() -> Graph:
    """Return a convolution that looks one frame ahead, added to its input."""
    nodes = [
        helper.make_node("Tanh", ["x"], ["bounded"]),
        helper.make_node("Conv", ["bounded", "w"], ["seen"], name="conv", kernel_shape=[3], pads=[1, 1]),
        helper.make_node("Add", ["seen", "bounded"], ["y"], name="sum"),
    ]
    tensors = {"w": floats(CHANNELS, CHANNELS, 3, seed=1)}
    made = Graph(model_of(nodes, {"x": ["batch", CHANNELS, "time"]}, ["y"], tensors))
    contract = Contract((Port("x", 2, 0),), (Port("y", 2, 0),), (), 1, ahead=(Ahead("conv", 1),))
    made.set_metadata(METADATA_KEY, contract.to_json())
    return made


def streamed(at: list[int]) -> Array:
    stream = OnnxruntimeModel(graph()).stream()
    answers = [np.asarray(stream.push(SIGNAL[a:b])) for a, b in pairwise(at)]
    return np.concatenate([*answers, np.asarray(stream.finish())])


@pytest.mark.parametrize("at", [[0, FRAMES], [0, 1, 2, 3, FRAMES], [0, 4, 5, FRAMES]])
def test_answers_are_those_of_the_whole_signal(at: list[int]) -> None:
    whole = run(graph().model, {"x": SIGNAL.T[None]})["y"][0].T
    np.testing.assert_allclose(streamed(at), whole, atol=1e-6)


def test_frames_that_wait_are_a_copy_of_the_chunk() -> None:
    """The caller may use its memory again as soon as a push returns."""
    stream, memory, answers = OnnxruntimeModel(graph()).stream(), np.empty((3, CHANNELS), np.float32), []
    for start in range(0, FRAMES, 3):
        memory[:] = SIGNAL[start : start + 3]
        answers.append(np.asarray(stream.push(memory)))
        memory[:] = 1e6
    np.testing.assert_array_equal(np.concatenate([*answers, np.asarray(stream.finish())]), streamed([0, 3, 6, 9]))


def test_an_answer_is_late_by_the_lookahead() -> None:
    stream = OnnxruntimeModel(graph()).stream()
    assert [len(stream.push(SIGNAL[a:b])) for a, b in pairwise([0, 1, 2, 5])] == [0, 1, 3]


def test_waiting_frames_have_the_shapes_that_a_stream_holds() -> None:
    staged, stream = StagedModel(graph()), OnnxruntimeModel(graph()).stream()
    for frames in range(1, 5):
        stream.push(SIGNAL[frames - 1 : frames])
        wanted, start = (staged.waiting_shapes(count, finished=False).values() for count in (frames, 0))
        held = len(stream.snapshot()) - len(OnnxruntimeModel(graph()).stream().snapshot())
        assert held == 4 * (sum(map(prod, wanted)) - sum(map(prod, start)))
    assert all(shape[0] == 0 for shape in staged.waiting_shapes(4, finished=True).values())


def test_a_graph_that_fails_on_zeros_is_refused() -> None:
    """The time axes are found by a run over zeros."""
    made = graph()
    made.model.graph.node[0].op_type = "Identity"
    made.model.graph.initializer[0].CopyFrom(numpy_helper.from_array(floats(CHANNELS, CHANNELS + 1, 3), "w"))
    del made.model.graph.input[0].type.tensor_type.shape.dim[:]
    with pytest.raises(ModelError, match="onnxruntime"):
        StagedModel(made)
