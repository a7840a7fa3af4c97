"""Calibration streams, the values that a model computes on them, and the error of a quantized model."""
