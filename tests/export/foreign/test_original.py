"""A foreign file runs as its author runs it: in the sizes that it takes, with its states fed back."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from tidegate.export.foreign.fixed_inputs import FixedInput
from tidegate.export.foreign.original import OriginalFile, at_any_length
from tidegate.export.proof.runner import Runner
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import Contract, Port, State
from tools.graphs import floats, model_of


class Sums:
    """A file that adds up its frames [time, batch, features], times `gain`, and notes the shapes of its runs."""

    def __init__(self, *, stateful: bool = True) -> None:
        states = (State("sum_in", "sum_out", "state", ("batch", 2)),) if stateful else ()
        self.contract = Contract((Port("x", 0, 1),), (Port("y", 0, 1), Port("last", None, 0)), states)
        self.shapes: list[tuple[int, ...]] = []

    def run(self, x: Array, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.shapes.append(x.shape)
        y = feeds.get("sum_in", np.zeros((x.shape[1], 2), np.float32)) + feeds["gain"] * np.cumsum(x, 0)
        return {"y": y, "last": y[-1], "sum_out": y[-1]}

    def carried(self, answers: Mapping[str, Array]) -> dict[str, Array]:
        return {state.input: answers[state.output] for state in self.contract.states}


def _file(sums: Sums, **sizes: int) -> OriginalFile:
    return OriginalFile(cast("Runner", sums), (FixedInput("gain", np.array(2, np.float32)),), **sizes)  # type: ignore[arg-type]


@given(frames=st.integers(1, 5), streams=st.sampled_from([None, 1, 2, 3, 5]), runs=st.integers(1, 4))
def test_answers_do_not_depend_on_the_frames_and_streams_per_run(frames: int, streams: int | None, runs: int) -> None:
    x = floats(runs * frames, 3, 2)
    sums = Sums()
    sizes = {"frames": frames} | ({} if streams is None else {"streams": streams})
    answers = _file(sums, **sizes).answers(x)
    np.testing.assert_allclose(answers["y"], 2 * np.cumsum(x, 0), atol=1e-5)
    np.testing.assert_allclose(answers["last"], 2 * x.sum(0), atol=1e-5)
    assert all(shape[0] == frames and shape[1] == (streams or 3) for shape in sums.shapes)


def test_a_file_without_limits_runs_once() -> None:
    sums = Sums()
    _file(sums).answers(floats(7, 3, 2))
    assert sums.shapes == [(7, 3, 2)]


@pytest.mark.parametrize(
    ("frames", "stateful", "any_length"), [(None, False, True), (1, True, True), (1, False, False), (5, True, False)]
)
def test_any_length_needs_a_free_length_or_a_state_and_single_frames(
    frames: int | None, stateful: bool, any_length: bool
) -> None:
    sizes = {} if frames is None else {"frames": frames}
    assert _file(Sums(stateful=stateful), **sizes).takes_any_length() == any_length


class Echo(Sums):
    """A file of one stream [frames, values] that repeats its input."""

    def __init__(self) -> None:
        super().__init__(stateful=False)
        self.contract = Contract((Port("x", 0, None),), (Port("y", 0, None),), ())

    def run(self, x: Array, feeds: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002  as Sums has it
        return {"y": x}


def test_the_context_comes_before_each_frame() -> None:
    x = floats(4, 3)
    seen = _file(Echo(), frames=1, context=2).answers(x)["y"]
    before = np.concatenate([np.zeros((1, 2), np.float32), x[:-1, -2:]])
    np.testing.assert_array_equal(seen, np.concatenate([before, x], 1))


def test_a_flat_file_takes_all_frames_of_a_stream_in_one_axis() -> None:
    x = floats(2, 4, 3)
    file = Echo()
    file.contract = Contract((Port("x", 1, 0),), (Port("y", None, 0),), ())
    assert _file(file, flat=True).answers(x)["y"].tolist() == x.reshape(2, 12).tolist()


def _fixed_gru(*more: object, states: tuple[State, ...] = (), **tensors: object) -> OriginalFile:
    """Return a GRU over x [3, 2, 4], a file that fixes 3 frames and 2 streams, followed by some nodes."""
    gru = helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=5)
    weights = {"w": floats(1, 15, 4), "r": floats(1, 15, 5)}
    model = model_of([gru, *more], {"x": [3, 2, 4]}, ["y", *(["out"] if more else [])], weights | tensors)  # type: ignore[list-item]
    ports = (Port("y", 0, 2), *([Port("out", 0, 2)] if more else []))
    runner = Runner(model.SerializeToString(), Contract((Port("x", 0, 1),), ports, ()))
    runner.contract = Contract((Port("x", 0, 1),), ports, states)
    return OriginalFile(runner, (), frames=3, streams=2)


def test_a_file_of_fixed_length_is_compared_at_any_length() -> None:
    file = _fixed_gru()
    freed = at_any_length(file)
    assert (freed.frames, freed.streams, freed.takes_any_length()) == (None, 2, True)
    x = floats(9, 5, 4)
    long = freed.answers(x)["y"]
    assert long.shape == (9, 1, 5, 5)
    np.testing.assert_array_equal(file.answers(x[:3])["y"], long[:3])


def test_a_file_that_needs_its_length_keeps_it() -> None:
    """A Reshape to its 3 frames: onnxruntime fails at another length."""
    file = _fixed_gru(helper.make_node("Reshape", ["y", "shape"], ["out"]), shape=np.array([3, 1, 2, 5]))
    assert at_any_length(file) is file


def test_a_file_that_answers_its_own_number_of_frames_keeps_it() -> None:
    """It runs at another length, and answers the first 3 frames only, as a loop that was unrolled does."""
    cut = helper.make_node("Slice", ["y", "low", "high", "low"], ["out"])  # along axis 0, too
    file = _fixed_gru(cut, low=np.array([0]), high=np.array([3]))
    assert at_any_length(file) is file


def test_a_file_with_states_runs_as_it_is() -> None:
    file = _fixed_gru(states=(State("h", "hn", "h", (1, "batch", 5)),))
    assert at_any_length(file) is file
