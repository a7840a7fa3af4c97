"""Symmetric rounding of a matrix to 4, 8 or 16 bits, one scale a row or a group of inputs."""

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.operators.matrix import LARGEST_CODE

LARGEST_SCALE = np.float32(2.0**40)  # what the engine accepts, as the least: of a row, of a group
LEAST_OF_A_ROW, LEAST_OF_A_GROUP = np.float32(2.0**-40), np.float32(2.0**-24)


def rounded(weights: Floats, bits: int, group: int = 0) -> tuple[Array, Floats]:
    """Round weights to codes: scale = largest magnitude / largest code, codes = round(weights / scale), ties to even.

    Args:
        weights: float32 `[rows, columns]`, finite.
        bits: 4, 8 or 16: the largest code is 7, 127 or 32767, the range is symmetric.
        group: Columns that share a scale, the last group of a row may be shorter; 0: all of a row.

    Returns:
        Codes `[rows, columns]`, int8, or int16 for 16 bits; and scales float32 `[rows, groups]`: where all
        weights are zero 1.
    """
    most = np.float32(LARGEST_CODE[bits])
    starts = np.arange(0, weights.shape[1], group or weights.shape[1])
    largest = np.maximum.reduceat(np.abs(weights), starts, axis=1)
    scales = np.where(largest > 0, largest / most, np.float32(1))
    scales = np.clip(scales, smallest_scale(scales), LARGEST_SCALE)
    codes = np.clip(np.rint(weights / each(scales, weights.shape[1], group)), -most, most)
    return codes.astype(np.int16 if bits == 16 else np.int8), scales


def smallest_scale(scales: Floats) -> np.float32:
    """Return the least that the engine accepts of scales `[rows, groups]`."""
    return LEAST_OF_A_GROUP if scales.shape[1] > 1 else LEAST_OF_A_ROW


def rms_error(weights: Floats, codes: Array, scales: Floats, group: int = 0) -> float:
    """Return the root mean square of the rounding error over that of the weights."""
    exact = weights.astype(np.float64)
    power = float(np.mean(exact**2))
    error = exact - dequantized(codes, scales, group)
    return float(np.sqrt(np.mean(error**2) / power)) if power else 0.0


def dequantized(codes: Array, scales: Floats, group: int = 0) -> Array:
    """Return codes times their scales, float64 `[rows, columns]`."""
    values: Array = codes * each(scales, codes.shape[1], group).astype(np.float64)
    return values


def each(scales: Floats, columns: int, group: int) -> Floats:
    """Return the scale of each column, `[rows, columns]`, or `[rows, 1]` where one serves a row."""
    return np.repeat(scales, group, axis=1)[:, :columns] if group else scales
