"""Differences of answers, relative to the largest value, and their limits."""

import numpy as np
import pytest
from tidegate.export.proof.comparison import Answer, Judge, Measured, RoundingError, frame_errors, peak_error
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ExportError

WANTED = np.array([1.0, -2.0, 0.5, 1.0])


class Known:
    """A rounding that is known."""

    def __init__(self, changes: list[float] | float) -> None:
        self._changes = np.array(changes)

    def changes(self, x: Array) -> dict[str, Array]:
        assert x is WANTED
        return {"y": self._changes}


def judge(changes: list[float] | float, tolerance: float | None = None) -> Judge:
    return Judge(Known(changes), tolerance)  # type: ignore[arg-type]  # stands for a Rounding


def answer(error: float, frame: int = 1, time: int | None = 0) -> Answer:
    """Return an answer whose error in one frame is given, relative to the largest value."""
    values = WANTED.copy()
    values[frame] += 2 * error
    return Answer("y", values, time, WANTED)


def test_an_error_up_to_the_tolerance_is_judged_without_rounding() -> None:
    found = Judge(None).measure(answer(5e-6), WANTED)
    assert found.error == pytest.approx(5e-6)
    assert found.limit == 1e-5
    assert not Judge(None).measure(answer(5e-5), WANTED).rounding


def test_each_frame_has_the_limit_of_its_own_rounding() -> None:
    changes = [1e-9, 2e-6, 2e-6, 4e-6]  # 32 of them, over a largest value of 2
    found = judge(changes).measure(answer(3e-5), WANTED)
    assert found.error == pytest.approx(3e-5)
    assert found.limit == pytest.approx(3.2e-5)
    with pytest.raises(ExportError, match=r"output 'y' at \[0\], frame 0: .* error 3e-05 .* at most 1e-05 allowed"):
        judge(changes).compare(answer(3e-5, 0), WANTED, 3)
    assert judge(changes).compare(answer(6e-5, 3), WANTED, 3).limit == pytest.approx(6.4e-5)
    with pytest.raises(ExportError, match=r"frame 3: .* at most 6.4e-05 allowed"):
        judge(changes).compare(answer(7e-5, 3), WANTED, 3)


def test_an_answer_from_the_middle_of_a_signal_has_the_limits_of_its_frames() -> None:
    seen = Answer("y", WANTED[2:] + np.array([0, 6e-5]), 0, WANTED, start=2)
    assert judge([0, 0, 0, 4e-6]).compare(seen, WANTED[2:], 3).limit == pytest.approx(32 * 4e-6)


def test_a_frame_that_rounding_moves_far_is_not_judged() -> None:
    assert judge([0, 0, 1e-3, 1e-3]).compare(answer(0.4, 3), WANTED, 3).error == 0
    found = judge([1e-3] * 4).compare(answer(0.4), WANTED, 3)
    assert not found.judged
    assert judge(0).check("whole", [found]) is None
    check = judge(0).check("whole", [found, Measured(1e-6, 1e-5)])
    assert check is not None
    assert check.error == 1e-6
    assert judge(0).proving([None, check]) == [check]
    with pytest.raises(RoundingError, match=r"by more than 3e-05 of the largest .* set tolerance= \(--tolerance\)$"):
        judge(0).proving([None, None])


def test_an_error_that_is_no_number_is_judged_in_every_frame() -> None:
    with pytest.raises(ExportError, match="frame 3: seen nan"):
        judge([0, 0, 1e-3, 1e-3]).compare(answer(np.nan, 3), WANTED, 3)
    with pytest.raises(ExportError, match=r"frame 1: .* error 0.1"):
        judge([np.nan] * 4).compare(answer(0.1), WANTED, 3)


def test_a_tolerance_of_ones_own_is_strict_and_rounding_is_named() -> None:
    said = r"; float32 rounding alone may give as much: set a larger tolerance= \(--tolerance\), or leave it out"
    with pytest.raises(RoundingError, match=said):
        judge([1e-6] * 4, 1e-7).compare(answer(1e-6), WANTED, 3)
    with pytest.raises(ExportError, match=r"if so small a difference is right, set a larger tolerance= \(--toler"):
        judge([0] * 4, 1e-7).compare(answer(1e-4), WANTED, 3)
    with pytest.raises(ExportError, match=r"at most 1e-07 allowed$"):
        judge([0] * 4, 1e-7).compare(answer(0.5), WANTED, 3)
    assert judge([0] * 4, 0).compare(answer(0), WANTED, 3) == Measured(0, 0)


def test_an_answer_without_frames_has_one_limit() -> None:
    assert judge(4e-6).compare(answer(6e-5, 0, None), WANTED, 3).limit == pytest.approx(6.4e-5)
    with pytest.raises(ExportError, match=r"at \[0\], frame 3: seen"):
        judge(0).compare(answer(6e-5, 0, None), WANTED, 3)


def test_the_check_of_several_answers_is_the_one_that_is_nearest_to_its_limit() -> None:
    check = judge(0).check("whole", [Measured(1e-5, 1e-4), Measured(9e-6, 1e-5), Measured(0.0, 1e-5)])
    assert check is not None
    assert (check.name, check.error, check.tolerance) == ("whole", 9e-6, 1e-5)


def test_errors_of_frames() -> None:
    seen = np.array([[1.0, 2.0], [1.5, 2.0]])
    np.testing.assert_array_equal(frame_errors(seen, np.full((2, 2), 2.0), 0, 2.0), [0.5, 0.25])
    np.testing.assert_array_equal(frame_errors(seen, np.full((2, 2), 2.0), 1, 4.0), [0.25, 0.0])


@pytest.mark.parametrize(
    ("seen", "wanted", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.5], [1.0, 2.0], 0.25),
        ([0.0], [0.0], 0.0),
        ([1e-9], [0.0], np.inf),
        ([np.nan], [1.0], np.inf),
        ([1.0], [np.inf], np.inf),
        ([], [], 0.0),
    ],
)
def test_peak_error(seen: list[float], wanted: list[float], error: float) -> None:
    assert peak_error(np.array(seen), np.array(wanted)) == error


def test_no_frames_have_no_errors() -> None:
    """A stream in blocks may give no answer to a short signal before its end."""
    nothing = np.zeros((0, 3), np.float32)
    assert frame_errors(nothing, nothing, 0, 1.0).shape == (0,)
