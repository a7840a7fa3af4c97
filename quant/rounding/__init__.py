"""Rounding weights to codes: to nearest, or so that the errors cancel on calibration streams."""
