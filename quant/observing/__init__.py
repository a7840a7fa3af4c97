"""Calibration streams, what a model computes on them, and how far a quantized one is off."""
