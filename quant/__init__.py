"""Quantization: float streaming ONNX in, quantized streaming ONNX and a report out."""

from .quantize import quantize
from .report import QuantizationReport, WeightRow

__all__ = ["QuantizationReport", "WeightRow", "quantize"]
