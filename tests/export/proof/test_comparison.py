"""Differences of answers, relative to the largest value, and their limits."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from tidegate.export.proof.comparison import (
    Answer,
    Check,
    Judge,
    Measured,
    RoundingError,
    first_bad,
    frame_errors,
    peak_error,
    with_dropped_axes,
)
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import Port
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


def test_a_check_passes_up_to_its_limit_and_a_spoilt_state_only_above_it() -> None:
    errors = (0.5, 1.0, np.nextafter(1.0, 2.0), np.nan)
    assert [Check("c", error, 1.0).passed for error in errors] == [True, True, False, False]
    assert [Check("c", error, 1.0, must_differ=True).passed for error in errors] == [False, False, True, False]


@pytest.mark.parametrize("one", [Check("c", 0.0, 1.0), answer(0.0), Measured(0.0, 1.0), Judge(None)])
def test_what_was_compared_does_not_change(one: object) -> None:
    for name in vars(one):
        with pytest.raises(FrozenInstanceError):
            setattr(one, name, None)


def test_the_share_of_an_error_is_that_of_its_limit() -> None:
    assert Measured(2.0, 4.0).share == 0.5
    assert Measured(1.0, 0.0).share == pytest.approx(1e30)
    assert Measured(0.0, 0.0).share == 0.0
    assert Measured(2.0, 4.0, judged=False).share == -1.0


def test_the_limits_of_coarser_numbers_are_that_many_times_larger() -> None:
    coarse = Judge(Known([1e-9, 2e-6, 0, 0]), coarseness=100.0)  # type: ignore[arg-type]  # stands for a Rounding
    assert coarse.base == pytest.approx(1e-3)
    assert coarse.measure(answer(9e-4), WANTED).limit == pytest.approx(1e-3)
    assert coarse.measure(answer(2e-3), WANTED).limit == pytest.approx(100 * 32 * 1e-6)
    far = Judge(Known([0.05, 0.07, 0, 0]), coarseness=100.0)  # type: ignore[arg-type]  # limits above and below 0.1
    found = far.measure(answer(0.2, 1), WANTED)
    assert found.error == 0  # frame 1 is not judged
    assert found.limit == pytest.approx(1e-3)
    with pytest.raises(ExportError, match=r"error 0.009 of the largest value, at most 0.0032 allowed; if so small a"):
        coarse.compare(answer(0.009), WANTED, 3)
    strict = Judge(Known([1e-4] * 4), 1e-7, "precision", 100.0)  # type: ignore[arg-type]
    said = r"; the rounding of the engine's activations alone may give as much: set a larger precision= \(--precision\)"
    with pytest.raises(RoundingError, match=said):
        strict.compare(answer(1e-3), WANTED, 3)


def test_a_largest_value_of_ones_own_is_taken() -> None:
    assert Judge(None).measure(answer(5e-6), WANTED, 4.0).error == pytest.approx(2.5e-6)
    zeros = np.zeros(4)
    seen = Answer("y", zeros, 0, WANTED)
    assert judge([4e-6] * 4).measure(seen, zeros).error == 0
    assert judge([4e-6] * 4).measure(Answer("y", zeros + 1, 0, WANTED), zeros).limit == pytest.approx(32 * 4e-6)


def test_an_error_exactly_at_its_limit_is_allowed() -> None:
    found = judge(0, 0.25).compare(Answer("y", np.array([4.0, 1.0]), 0, WANTED), np.array([4.0, 2.0]), 0)
    assert found == Measured(0.25, 0.25)
    with pytest.raises(ExportError, match=r"frame 1: seen 0.9999999, wanted 2; error 0.25 .* at most 0.25 allowed"):
        judge(0, 0.25).compare(Answer("y", np.array([4.0, 0.9999999]), 0, WANTED), np.array([4.0, 2.0]), 0)


def test_advice_on_tolerance_is_given_only_for_small_errors() -> None:
    def said(error: float, tolerance: float | None) -> str:
        with pytest.raises(ExportError) as caught:
            judge([0] * 4, tolerance).compare(answer(error), WANTED, 3)
        return str(caught.value).partition("allowed")[2]

    assert said(0.009, None) == "; if so small a difference is right, set tolerance= (--tolerance)"
    assert said(0.009, 1e-3) == "; if so small a difference is right, set a larger tolerance= (--tolerance)"
    assert said(0.02, None) == said(0.02, 1e-3) == ""


def test_answers_that_rounding_moves_too_far_are_left_out_but_for_a_tolerance_of_ones_own() -> None:
    far = Measured(0.5, 1.0, judged=False)
    assert judge(0).check("c", [far, far]) is None
    assert judge(0, 0.1).check("c", [far, far]) == Check("c", 0.5, 1.0)
    said = (
        "float32 rounding alone moves all answers by more than 3e-05 of the largest value, so they prove nothing; set "
        "tolerance= (--tolerance)"
    )
    with pytest.raises(RoundingError) as caught:
        judge(0).proving([])
    assert str(caught.value) == said


def test_an_answer_of_another_shape_is_refused_and_squeeze_is_named_if_an_axis_is_missing() -> None:
    wanted = np.zeros((2, 1, 3))
    with pytest.raises(
        ExportError, match=r"^output 'y' has shape \[2, 3\], wanted \[2, 1, 3\]; squeeze\(\) drops the axis"
    ):
        judge(0).compare(Answer("y", np.zeros((2, 3)), 0, WANTED), wanted, 0)
    with pytest.raises(ExportError, match=r"^output 'y' has shape \[2, 2, 3\], wanted \[2, 1, 3\]$"):
        judge(0).compare(Answer("y", np.zeros((2, 2, 3)), 0, WANTED), wanted, 0)


@pytest.mark.parametrize("axis", [None, 0, 1, 2])
@pytest.mark.parametrize("at", [(0, 0, 0), (1, 2, 3), (0, 1, 2), (1, 0, 3)])
def test_the_largest_difference_of_the_first_wrong_frame_is_found(axis: int | None, at: tuple[int, ...]) -> None:
    wanted = np.ones((2, 3, 4))
    seen = wanted.copy()
    seen[at] += 0.5
    assert first_bad(seen, wanted, axis, 0.1) == at
    seen -= 0.05  # small errors elsewhere
    assert first_bad(seen, wanted, axis, 0.1) == at
    if axis is not None and at[axis]:
        earlier = tuple(0 if i == axis else place for i, place in enumerate(at))
        seen[earlier] += 0.3
        assert first_bad(seen, wanted, axis, 0.1) == earlier
        assert first_bad(4 * seen, 4 * wanted, axis, 0.1) == earlier  # relative to the largest value wanted


def test_errors_of_frames_are_the_largest_of_each_along_any_axis() -> None:
    rng = np.random.default_rng(0)
    seen, wanted = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))
    gap = np.abs(seen - wanted)
    for axis in range(3):
        others = tuple(i for i in range(3) if i != axis)
        np.testing.assert_array_equal(frame_errors(seen, wanted, axis, 2.0), gap.max(others) / 2)
    np.testing.assert_array_equal(frame_errors(seen, wanted, None, 2.0), [gap.max() / 2])
    assert peak_error(seen, wanted) == gap.max() / np.abs(wanted).max()
    assert frame_errors(seen.astype(np.float32), seen, None, 1.0)[0] > 0  # in float64
    np.testing.assert_array_equal(frame_errors(np.ones(2), np.zeros(2), 0, 0.0), [np.inf, np.inf])
    np.testing.assert_array_equal(frame_errors(np.zeros(2), np.zeros(2), 0, 0.0), [0, 0])


@pytest.mark.parametrize(
    ("port", "shape", "streams", "lacking"),
    [
        (Port("y", 1, 0), (1, 7, 3), 1, [(7, 3)]),  # the axis of a single stream
        (Port("y", 1, 0), (1, 1, 3), 1, [(1, 3), (3,)]),  # and of a single frame
        (Port("y", 1, 0), (1, 1, 1), 1, [(1, 1), (1,), ()]),  # and of a single number
        (Port("y", 1, 0), (2, 7, 1), 2, [(2, 7)]),
        (Port("y", None, 0), (2, 1), 2, [(2,)]),
        (Port("y", 0, None), (7, 1), 1, [(7,)]),
    ],
)
def test_axes_that_an_original_drops_come_back(
    port: Port, shape: tuple[int, ...], streams: int, lacking: list[tuple[int, ...]]
) -> None:
    for seen in lacking:
        values = np.arange(float(np.prod(shape))).reshape(seen)
        np.testing.assert_array_equal(
            with_dropped_axes(values, port, shape, streams), values.reshape(shape), strict=True
        )


@pytest.mark.parametrize(
    ("port", "shape", "streams", "seen"),
    [
        (Port("y", 1, 0), (1, 7, 3), 2, (7, 3)),  # several streams have their axis
        (Port("y", 1, 0), (2, 7, 1, 1), 2, (2, 7, 1)),  # more than one axis of features
        (Port("y", 1, 0), (1, 7, 3), 1, (7, 4)),
        (Port("y", 1, 0), (1, 7, 3), 1, (1, 7, 3)),
        (Port("y", 1, 0), (4, 7, 3), 1, (7, 3)),
    ],
)
def test_an_answer_that_lacks_another_axis_stays_as_it_is(
    port: Port, shape: tuple[int, ...], streams: int, seen: tuple[int, ...]
) -> None:
    values = np.zeros(seen)
    assert with_dropped_axes(values, port, shape, streams) is values
