"""Warnings about answers, in words for a person."""

from ..report.quantization_report import AnswersReport
from .ways_out import percent

NOT_COMPARED = (
    "the answers were not compared with those of the float model, whose answers to noise leave the range of numbers; "
    "give calibration streams"
)
CALIBRATE = "calibration streams measure the error on what the model will hear, and lower that of the weights"


def too_far(answers: AnswersReport, bound: float, way_out: str, *, calibrated: bool) -> str:
    """Return the warning that answers err by more than a bound.

    Args:
        answers: The answers.
        bound: The bound of the error.
        way_out: A change of options that errs less, in words; empty if none was found.
        calibrated: Whether there were calibration streams.
    """
    levels = answers.levels
    where = max(levels, key=lambda name: levels[name]) if levels else answers.signal
    sentences = [
        f"the answers err by {percent(answers.error)} of their root mean square on {where}, above {percent(bound)}",
        way_out or "16 bits everywhere do not bring it below, float32 does",
    ]
    return "; ".join(sentences if calibrated else [*sentences, CALIBRATE])
