"""Answers have the shape that they have in the file, on both backends; other orders of numbers are refused by name."""

import numpy as np
import pytest
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ChunkError, ContractError, ModelError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import Backend, load
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.reference import ReferenceStream
from tools.drafts import FEATURES, HIDDEN, Build, Draft, refuses, stacked

FRAMES = np.random.default_rng(0).standard_normal((9, FEATURES)).astype(np.float32)
BACKENDS: list[Backend] = ["native", "onnxruntime"]


def final_states_of_two_layers(d: Draft) -> None:
    d.answer(d.add("Identity", stacked(d)[1]), None, 1)


def answers_and_final_states(d: Draft) -> None:
    """All answers of a node as they are: Y, Y_h and Y_c."""
    d.answer(d.lstm("x"), 0, 2)
    for state in d.states:
        d.answer(d.add("Identity", state.output), None, 1)


# Graphs, with the shape of the answers to the nine frames by output.
SHAPES: dict[str, tuple[Build, list[tuple[int, ...]]]] = {
    "directions": (lambda d: d.answer(d.lstm("x"), 0, 2), [(9, 1, HIDDEN)]),
    "batch before time": (
        lambda d: d.answer(d.add("Transpose", d.lstm("x"), perm=[2, 1, 0, 3]), 2, 0),
        [(9, 1, HIDDEN)],
    ),
    "final states of two layers": (final_states_of_two_layers, [(2, HIDDEN)]),
    "answers and final states": (answers_and_final_states, [(9, 1, HIDDEN), (1, HIDDEN), (1, HIDDEN)]),
    "no axis of features": (lambda d: d.answer(d.gather(d.layer("x"), -1, axis=2)), [(9,)]),
    "one number": (
        lambda d: d.answer(d.gather(d.gather(d.layer("x"), -1), 0, axis=1), None, 0),
        [(1,)],
    ),
    "axes of one after the features": (lambda d: d.answer(d.unsqueeze(d.layer("x"), 3, 4)), [(9, HIDDEN, 1, 1)]),
}


def graph_of(build: Build) -> Graph:
    draft = Draft(int8=False)
    build(draft)
    return draft.graph()


def listed(answer: object) -> list[Array]:
    return [np.asarray(one) for one in (answer.values() if isinstance(answer, dict) else [answer])]


@pytest.mark.parametrize("form", SHAPES)
def test_row_96_both_backends_give_the_shape_of_the_file(form: str) -> None:
    build, shapes = SHAPES[form]
    graph = graph_of(build)
    seen = {}
    for backend in BACKENDS:
        seen[backend] = listed(load(graph.model.SerializeToString(), backend).stream().push(FRAMES))
        assert [answer.shape for answer in seen[backend]] == shapes
    for one, other in zip(*seen.values(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


@pytest.mark.parametrize("form", SHAPES)
def test_the_engine_equals_the_specification_in_every_chunking(form: str) -> None:
    graph = graph_of(SHAPES[form][0])
    program = lower(graph)
    model = load(graph.model.SerializeToString())
    for size in (1, 4, 9):
        engine, plain = model.stream(), ReferenceStream(program)
        for at in range(0, 9, size):
            wanted = plain.push(FRAMES[at : at + size]).values()
            for one, other in zip(listed(engine.push(FRAMES[at : at + size])), wanted, strict=True):
                np.testing.assert_array_equal(one, np.asarray(other), strict=True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", SHAPES)
def test_an_empty_chunk_keeps_the_axes(form: str, backend: Backend) -> None:
    graph = graph_of(SHAPES[form][0])
    empty = listed(load(graph.model.SerializeToString(), backend).stream().push(FRAMES[:0]))
    assert [answer.shape for answer in empty] == [(0, *shape[1:]) for shape in SHAPES[form][1]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", SHAPES)
def test_a_group_gives_the_shape_for_each_row(form: str, backend: Backend) -> None:
    build, shapes = SHAPES[form]
    graph = graph_of(build)
    group = load(graph.model.SerializeToString(), backend).streams(2)
    seen = listed(group.push(np.stack([FRAMES, 2 * FRAMES])))
    assert [answer.shape for answer in seen] == [(2, *shape) for shape in shapes]


def test_out_has_the_shape_too() -> None:
    model = load(graph_of(SHAPES["directions"][0]).model.SerializeToString())
    out = np.empty((9, 1, HIDDEN), np.float32)
    assert model.stream().push(FRAMES, out=out) is out
    with pytest.raises(ChunkError, match=rf"out has shape \(9, {HIDDEN}\), wanted \(9, 1, {HIDDEN}\)"):
        model.stream().push(FRAMES, out=np.empty((9, HIDDEN), np.float32))


def features_before_layers(d: Draft) -> None:
    d.answer(d.add("Transpose", stacked(d)[1], perm=[1, 2, 0]), None, 0)


def a_final_state_in_two_parts(d: Draft) -> None:
    d.answer(d.add("Relu", d.weights(HIDDEN, HIDDEN, axis=0)), None, 0)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            features_before_layers,
            UnsupportedError,
            "has axes (batch, feature, layer), wanted the features after the layers; transpose them, or use",
        ),
        (a_final_state_in_two_parts, UnsupportedError, "is not a signal"),
        (
            lambda d: d.answer(d.layer("x"), 0, 2),
            UnsupportedError,
            "has axes (time, batch, feature), wanted the streams on axis 2; use backend='onnxruntime'",
        ),
        (lambda d: d.answer(d.layer("x"), 1, 0), ContractError, "has time axis 1, the graph says 0"),
    ],
)
def test_other_answers_are_refused_by_name(build: Build, error: type[ModelError], message: str) -> None:
    refuses(build, error, message)
