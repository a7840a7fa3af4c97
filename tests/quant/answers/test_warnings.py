"""Warnings: what they say about answers that err too much."""

from tidegate.quant.answers.warnings import CALIBRATE, too_far
from tidegate.quant.report.quantization_report import AnswersReport

LEVELS = {"noise of 1": 0.05, "noise of 0.1": 0.78, "noise of 0.01": 0.19}


def test_without_calibration_the_level_is_named_and_calibration_is_a_way_out() -> None:
    text = too_far(AnswersReport("own", 30, 0.78, {"y": 0.78}, LEVELS), 0.1, "choose x", calibrated=False)
    start = "the answers err by 78% of their root mean square on noise of 0.1, above 10%; choose x; "
    assert text == start + CALIBRATE


def test_with_calibration_the_frames_are_named() -> None:
    found = AnswersReport("calibration frames held out", 30, 0.2, {"y": 0.2})
    start = "the answers err by 20% of their root mean square on calibration frames held out, above 15%; "
    assert too_far(found, 0.15, "choose x", calibrated=True) == start + "choose x"
    assert too_far(found, 0.15, "", calibrated=True) == start + "16 bits everywhere do not bring it below, float32 does"
