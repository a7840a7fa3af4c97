"""The judge: which frames count, and what the error of an output is."""

from dataclasses import replace

import numpy as np
import pytest
from tidegate.quant.observing.calibration_streams import Streams
from tidegate.quant.observing.judge import answers, as_pushed, judge_of
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.errors import QuantizationError
from tidegate.runtime.operators import Linear, Slot, Window
from tidegate.runtime.operators.matrix import FLOAT, Matrix, Reading
from tidegate.runtime.program import Program
from tools.float_programs import layer_and_head
from tools.streams import contract_of

FRAMES = np.random.default_rng(0).standard_normal((4, 100, 1), np.float32)
EVERY_SECOND: Array = np.arange(100) % 2 == 1


def times(*factors: float) -> Program:
    """Return a program with one output for each factor of its only feature."""
    floats = [
        Matrix(np.full((1, 1), f, np.float32), np.ones((1, 1), np.float32), Reading.FRAME, 16, FLOAT) for f in factors
    ]
    ops = tuple(Linear((0,), one, np.zeros(1, np.float32)) for one in floats)
    return Program(1, ops, tuple((f"y{number}", number + 1) for number in range(len(factors))))


def streams(*frames: Floats) -> Streams:
    return Streams(frames, tuple(EVERY_SECOND[: len(one)] for one in frames), complete=True)


def test_an_error_is_relative_to_the_float_answers_and_given_for_each_output() -> None:
    exact, made = times(1.0, 2.0), times(1.25, 2.0)
    judge = judge_of(exact, contract_of(exact), streams(*FRAMES), held=True, frames=400)
    assert judge.errors(exact) == {"y0": 0, "y1": 0}
    assert judge.errors(made) == {"y0": pytest.approx(0.25), "y1": 0}
    assert judge.error(made) == pytest.approx(0.25 / np.sqrt(2))


@pytest.mark.parametrize("held", [True, False])
def test_only_the_frames_of_one_side_count(held: bool) -> None:
    """The other frames are a thousand times louder, and must not matter."""
    exact = times(1.0)
    mine = EVERY_SECOND if held else ~EVERY_SECOND
    louder = np.where(mine[:, None], FRAMES[0], 1000 * FRAMES[0]).astype(np.float32)
    clipped = replace(exact, ops=(replace(exact.ops[0], bias=np.full(1, 0.5, np.float32)),))  # type: ignore[call-arg]
    judge = judge_of(exact, contract_of(exact), streams(louder), held=held, frames=100)
    counted = FRAMES[0][mine].astype(np.float64)
    assert judge.error(clipped) == pytest.approx(0.5 / np.sqrt(np.mean(counted**2)), rel=1e-5)


def test_frames_are_limited_and_end_with_the_last_that_counts() -> None:
    exact = times(1.0)
    judge = judge_of(exact, contract_of(exact), streams(*FRAMES), held=False, frames=150)
    assert [len(one) for one in judge.streams] == [99, 51]
    assert [len(one) for one in judge.counted] == [99, 51]


def test_silent_outputs_have_no_error() -> None:
    exact = times(0.0)
    judge = judge_of(exact, contract_of(exact), streams(*FRAMES), held=True, frames=400)
    assert judge.error(exact) == 0


def test_answers_come_by_output_from_the_zero_state() -> None:
    program = layer_and_head("lstm")
    both = replace(program, outputs=(("y", 2), ("h", 1)))
    frames = np.random.default_rng(1).standard_normal((2, 40, 3), np.float32)
    first, second = answers(both, contract_of(both), [frames[0], frames[1]])
    assert {name: values.shape for name, values in first.items()} == {"y": (40, 2), "h": (40, 5)}
    (alone,) = answers(both, contract_of(both), [frames[1]])
    np.testing.assert_array_equal(second["y"], alone["y"])


def test_answers_that_come_at_the_end_are_among_them() -> None:
    window = Window((0,), 3, 1, 1, Slot("tail", 0), lookahead=2)
    late = Program(1, (window,), (("y", 1),))
    frames = np.arange(1, 6, dtype=np.float32)[:, None]
    (found,) = answers(late, contract_of(late), [frames])
    np.testing.assert_array_equal(found["y"], [[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 0], [5, 0, 0]])


def test_a_value_out_of_range_is_refused() -> None:
    wild = times(2.0**40)
    with pytest.raises(QuantizationError, match="calibration: "):
        answers(wild, contract_of(wild), [np.full((3, 1), 2.0**60, np.float32)])


def test_ids_are_pushed_as_integers() -> None:
    program = replace(times(1.0), ids=True)
    pushed = as_pushed(program, np.array([[1.0], [3.0]], np.float32))
    np.testing.assert_array_equal(pushed, np.array([1, 3]), strict=True)
    np.testing.assert_array_equal(as_pushed(times(1.0), FRAMES[0]), FRAMES[0], strict=True)
