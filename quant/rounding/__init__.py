"""Rounding weights to codes: nearest, or compensated by what the model hears."""
