"""Quantization: float streaming ONNX in, quantized streaming ONNX and a report out."""

from .quantize import quantize
from .report import CalibrationReport, GateRow, OptionRow, QuantizationReport, WeightRow

__all__ = ["CalibrationReport", "GateRow", "OptionRow", "QuantizationReport", "WeightRow", "quantize"]
