"""Symmetric int8 rounding of a matrix, one scale a row."""

import numpy as np
import numpy.typing as npt

from ..runtime.arrays import Floats

LARGEST_CODE = 127  # -128 is not used: the range stays symmetric and products of two codes stay small
SMALLEST_SCALE, LARGEST_SCALE = np.float32(2.0**-40), np.float32(2.0**40)  # what the engine accepts


def quantize_rows(weights: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Round each row to int8 codes: scale = max|row| / 127, codes = round(row / scale), ties to even.

    Args:
        weights: float32 `[rows, columns]`, finite.

    Returns:
        Codes int8 `[rows, columns]` within +-127, and scales float32 `[rows]`; a row of zeros has
        scale 1.
    """
    largest = np.max(np.abs(weights), axis=1)
    scales = np.where(largest > 0, largest / np.float32(LARGEST_CODE), np.float32(1))
    scales = np.clip(scales, SMALLEST_SCALE, LARGEST_SCALE)
    codes = np.clip(np.rint(weights / scales[:, None]), -LARGEST_CODE, LARGEST_CODE)
    return codes.astype(np.int8), scales


def relative_error(weights: Floats, codes: npt.NDArray[np.int8], scales: Floats) -> float:
    """Return the root mean square of the rounding error over that of the weights."""
    exact = weights.astype(np.float64)
    power = float(np.mean(exact**2))
    return float(np.sqrt(np.mean((exact - codes * scales.astype(np.float64)[:, None]) ** 2) / power)) if power else 0.0
