"""Quantization: from a float streaming ONNX file to a quantized one, with a report."""

from ..runtime import graph  # noqa: F401  first: it says what to do if onnx is not installed
from .observing.drift import Drift, StepSpan
from .quantize import quantize
from .report.quantization_report import (
    AnswersReport,
    CalibrationReport,
    GateRow,
    Histogram,
    OptionRow,
    QuantizationReport,
    WeightRow,
)

__all__ = [
    "AnswersReport",
    "CalibrationReport",
    "Drift",
    "GateRow",
    "Histogram",
    "OptionRow",
    "QuantizationReport",
    "StepSpan",
    "WeightRow",
    "quantize",
]
