"""Quantization: float streaming ONNX in, quantized streaming ONNX and a report out."""

from .observing.drift import Drift, StepSpan
from .quantize import quantize
from .report.quantization_report import CalibrationReport, GateRow, Histogram, OptionRow, QuantizationReport, WeightRow

__all__ = [
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
