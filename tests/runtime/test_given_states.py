"""States by name: a stream that starts from a state goes on as the stream that reached it; others are refused."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tidegate.runtime import _kernels
from tidegate.runtime.arrays import Array
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.clocks import Clock
from tidegate.runtime.errors import ChunkError, RowError, StateError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program, Reading
from tidegate.runtime.reference import ReferenceStream
from tidegate.runtime.streams import Model, Stream
from tools.onnx_files import name_initial, write_lstm
from tools.random_layers import lstm
from tools.random_programs import programs
from tools.streams import as_pushed, by_name, contract_of, frames_for

VARIANTS = _kernels.variants()
FRAMES = np.random.default_rng(1).normal(0, 1, (12, 6)).astype(np.float32)
LEARNED = np.random.default_rng(2).normal(0, 1, (1, 1, 8)).astype(np.float32)
OTHER = np.random.default_rng(3).normal(0, 1, (1, 1, 8)).astype(np.float32)


@pytest.fixture(params=["native", "onnxruntime"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Model:
    """An LSTM whose h starts from LEARNED, on each backend."""
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    name_initial(graph.model, "lstm.h_in", LEARNED)
    graph.save(tmp_path / "m.onnx")
    return load(tmp_path / "m.onnx", request.param)


def equal(seen: Mapping[str, Array], wanted: Mapping[str, Array]) -> bool:
    return seen.keys() == wanted.keys() and all(seen[name].tobytes() == wanted[name].tobytes() for name in wanted)


# ---- the same bits ----


@settings(max_examples=200)
@given(program=programs(), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_a_stream_from_a_state_is_the_rest_of_the_stream_that_reached_it(
    program: Program, seed: int, data: st.DataObject
) -> None:
    assume(set(program.clocks) == {Clock()})  # a model that looks ahead holds frames back, which are no state
    plan = compile_program(program, contract_of(program))
    first, second = (NativeModel(plan, data.draw(st.sampled_from(VARIANTS))) for _ in range(2))
    frames = as_pushed(program, frames_for(program, np.random.default_rng(seed), 20))
    reached = first.stream()
    try:
        reached.push(frames[:7])
        state = reached.state()
        expected = reached.push(frames[7:])
    except ChunkError:
        assume(False)
    stream = second.stream(state)
    assert equal(stream.state(), state)
    np.testing.assert_equal(stream.push(frames[7:]), expected)
    assert equal(stream.state(), reached.state())


@settings(max_examples=100)
@given(program=programs(), seed=st.integers(0, 2**32 - 1), isa=st.sampled_from(VARIANTS))
def test_the_engine_starts_and_restarts_where_the_specification_starts(program: Program, seed: int, isa: str) -> None:
    reference = ReferenceStream(program)
    stream = NativeModel(compile_program(program, contract_of(program)), isa).stream()
    frames = frames_for(program, np.random.default_rng(seed), 9)
    for _ in range(2):
        seen, wanted = stream.states(), reference.states()
        assert [vector.tobytes() for vector in seen] == [vector.tobytes() for vector in wanted]
        try:
            answer = by_name(program, stream.push(as_pushed(program, frames)))
        except ChunkError:
            assume(False)
        expected = {name: values for name, values in reference.push(frames).items() if values is not None}
        np.testing.assert_equal({name: answer[name] for name in expected}, expected)
        stream.reset()
        reference.reset()


def test_a_stream_starts_from_the_states_of_the_file_and_from_given_ones(model: Model) -> None:
    stream = model.stream()
    assert equal(stream.state(), {"lstm.h_in": LEARNED, "lstm.c_in": np.zeros_like(LEARNED)})
    stream.push(FRAMES)
    stream.reset()
    assert equal(stream.state(), model.stream().state())
    given = model.stream({"lstm.c_in": OTHER})
    assert equal(given.state(), {"lstm.h_in": LEARNED, "lstm.c_in": OTHER})
    given.reset()
    assert equal(given.state(), model.stream().state())


def test_a_state_is_copied_and_counters_stay(model: Model) -> None:
    stream, state = model.stream(), {"lstm.h_in": OTHER.copy()}
    stream.push(FRAMES[:5])
    c = stream.state()["lstm.c_in"]
    stream.set_state(state)
    state["lstm.h_in"][...] = 0
    assert equal(stream.state(), {"lstm.h_in": OTHER, "lstm.c_in": c})
    assert stream.frames == 5
    stream.set_state({})
    assert equal(stream.state(), {"lstm.h_in": OTHER, "lstm.c_in": c})


def test_doubles_are_taken_too(model: Model) -> None:
    stream = model.stream({"lstm.h_in": OTHER.astype(np.float64)})
    np.testing.assert_array_equal(stream.state()["lstm.h_in"], OTHER, strict=True)


def test_snapshots_and_forks_carry_given_states(model: Model) -> None:
    stream = model.stream({"lstm.h_in": OTHER})
    fork, restored = stream.fork(), model.stream()
    restored.restore(stream.snapshot())
    assert equal(fork.state(), stream.state())
    assert equal(restored.state(), stream.state())
    np.testing.assert_array_equal(fork.push(FRAMES), stream.push(FRAMES))


# ---- refused ----

ODD: list[tuple[Mapping[str, Array], str]] = [
    ({"lstm.h": OTHER}, r"state 'lstm\.h' is not one of the model, which has lstm\.h_in, lstm\.c_in"),
    ({"lstm.h_in": OTHER[0]}, r"state 'lstm\.h_in' is float32 \(1, 8\), wanted float32 \(1, 1, 8\)"),
    ({"lstm.h_in": OTHER.repeat(2, 1)}, r"state 'lstm\.h_in' is float32 \(1, 2, 8\), wanted float32 \(1, 1, 8\)"),
    ({"lstm.c_in": OTHER.astype(np.complex64)}, r"state 'lstm\.c_in' is complex64 .*, wanted float32"),
    ({"lstm.c_in": OTHER * np.float32("nan")}, r"state 'lstm\.c_in' holds nan, wanted finite values up to 2\^64"),
    ({"lstm.c_in": OTHER * np.float32("inf")}, r"state 'lstm\.c_in' holds -?inf, wanted finite values up to 2\^64"),
    ({"lstm.c_in": np.full((1, 1, 8), 2.0**65)}, r"state 'lstm\.c_in' holds 3\.68.*, wanted finite values up to 2\^64"),
]


@pytest.mark.parametrize(("state", "message"), ODD)
def test_a_wrong_state_is_refused_by_name_and_nothing_changes(
    model: Model, state: Mapping[str, Array], message: str
) -> None:
    stream, group = model.stream(), model.streams(2)
    stream.push(FRAMES)
    before = stream.state()
    group.leave(1)
    refusing: list[Callable[[Mapping[str, Array]], object]] = [
        model.stream,
        stream.set_state,
        lambda given: group.set_state(0, given),
        lambda given: group.join(1, given),
    ]
    for call in refusing:
        with pytest.raises(StateError, match=message):
            call({"lstm.h_in": OTHER} | dict(state) if "lstm.h_in" not in state else state)
    assert equal(stream.state(), before)
    assert equal(group.state(0), model.stream().state())
    assert group.joined == (0,)


def test_a_finished_stream_takes_no_state_until_it_is_reset(model: Model) -> None:
    stream = model.stream()
    stream.push(FRAMES)
    stream.finish()
    with pytest.raises(StateError, match=r"the stream was finished; reset\(\) starts a new one"):
        stream.set_state({"lstm.h_in": OTHER})
    stream.reset()
    stream.set_state({"lstm.h_in": OTHER})


def test_the_engine_checks_vectors_that_others_hand_to_it() -> None:
    layer = lstm(np.random.default_rng(0), 0, (6, 5), Reading.FRAME, 16)
    program = Program(6, (layer,), (("y", 1),))
    stream = NativeModel(compile_program(program, contract_of(program))).stream()
    with pytest.raises(IndexError):
        stream.write_states([np.zeros(3, np.float32)])
    with pytest.raises(IndexError):
        stream.write_states([None, None, None])
    with pytest.raises(StateError, match=r"state vector 1 holds a value above 2\^64 or NaN"):
        stream.write_states([None, np.full(5, np.nan, np.float32)])


# ---- groups ----


def test_rows_start_from_given_states_and_are_set_one_by_one(model: Model) -> None:
    group = model.streams(3)
    group.leave(1)
    assert group.join(state={"lstm.h_in": OTHER}) == 1
    group.set_state(2, {"lstm.c_in": OTHER})
    starts: list[dict[str, Array]] = [{}, {"lstm.h_in": OTHER}, {"lstm.c_in": OTHER}]
    streams: list[Stream] = [model.stream(state) for state in starts]
    answers = np.asarray(group.push(np.stack([FRAMES] * 3)))
    for row, stream in enumerate(streams):
        np.testing.assert_array_equal(answers[row], np.asarray(stream.push(FRAMES)))
        assert equal(group.state(row), stream.state())
    group.leave(1)
    assert group.join(1) == 1
    assert equal(group.state(1), model.stream().state())


def test_a_free_row_has_no_state_to_set(model: Model) -> None:
    group = model.streams(2)
    group.leave(0)
    with pytest.raises(RowError, match="row 0 has not joined; join it first"):
        group.set_state(0, {"lstm.h_in": OTHER})
