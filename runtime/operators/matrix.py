"""Int8 matrices: how floats become integers, and exact integer products."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from ..arrays import Floats

Codes = npt.NDArray[np.int64]

WEIGHT_MAX = 127  # largest int8 code in use; -128 is refused
SILENT = np.float32(2.0**-64)  # a frame below is a frame of zeros


class Reading(Enum):
    """How a matrix turns the floats it reads into integers."""

    FRAME = 1  # by the largest magnitude of each frame
    HIDDEN = 2  # as hidden values in (-1, 1): one code is 1/q


def activation_bits(columns: int, most: int = 16) -> int:
    """Return the most activation bits, up to `most`, whose int32 sums over `columns` cannot overflow."""
    bits = most
    while columns * WEIGHT_MAX * (2 ** (bits - 1) - 1) > 2**31 - 1:
        bits -= 1
    return bits


@dataclass(frozen=True, eq=False)
class Matrix:
    """An int8 weight matrix with one scale a row.

    Attributes:
        codes: int8 `[rows, columns]`, within +-127.
        scales: float32 `[rows]`, within [2^-40, 2^40].
        reading: How it reads its input.
        bits: Bits of the input's integers.
    """

    codes: npt.NDArray[np.int8]
    scales: Floats
    reading: Reading
    bits: int


def encode(matrix: Matrix, x: Floats) -> tuple[Codes, np.float32]:
    """Turn one frame into integers for a matrix.

    Args:
        matrix: The matrix that will read it; its `reading` and `bits` decide.
        x: One frame, float32 `[columns]`.

    Returns:
        The codes `[columns]`, within +-q for q = 2^(bits-1) - 1, and the value of one code.
    """
    q = np.float32(2 ** (matrix.bits - 1) - 1)
    if matrix.reading is Reading.HIDDEN:
        return np.rint(np.clip(x * q, -q, q)).astype(np.int64), np.float32(1) / q
    largest = np.max(np.abs(x))
    if largest < SILENT:
        return np.zeros(x.shape, np.int64), np.float32(0)
    scale = largest / q
    return np.rint(x / scale).astype(np.int64), scale


def products(matrix: Matrix, codes: Codes) -> Floats:
    """Return the exact int32 sums W . codes, rounded once to float32; `[rows]`."""
    sums = matrix.codes.astype(np.int64) @ codes
    if np.any(np.abs(sums) > 2**31 - 1):
        raise AssertionError(f"int32 overflow: {matrix.codes.shape[1]} columns at {matrix.bits} bits")
    return sums.astype(np.float32)


def affine(matrix: Matrix, bias: Floats, x: Floats) -> Floats:
    """Return W x + b for one frame: `[columns]` -> `[rows]`."""
    codes, scale = encode(matrix, x)
    return products(matrix, codes) * (scale * matrix.scales) + bias
