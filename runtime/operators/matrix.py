"""Weight matrices: how floats become integers, and exact integer products.

A matrix is W8A16, W4A8 and so on by its weight bits and those of the activations that it reads; its codes have
one scale a row, or one for each group of inputs. Weights of 32 bits are floats as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from ..arrays import Array, Floats
from .numbers.functions import ONE, without_tiny

LARGEST_CODE = {4: 7, 8: 127, 16: 32767}  # by weight bits; -8, -128 and -32768 are refused
FLOAT = 32  # weight bits of a matrix that is not quantized
GROUP_SIZES = (8, 32)  # inputs that may share a scale; 0 stands for all of a row
SILENT = np.float32(2.0**-64)  # a frame below is a frame of zeros
LEAST_RANGE, LARGEST_RANGE = np.float32(2.0**-40), np.float32(2.0**40)  # of a matrix that reads by a constant


class Reading(Enum):
    """How a matrix turns the floats it reads into integers."""

    FRAME = 1  # by the largest magnitude of each frame
    HIDDEN = 2  # as hidden values in (-1, 1): one code is 1/q
    FIXED = 3  # by a power of two that was calibrated: one code is 2^-exponent; integer operators alone
    CONSTANT = 4  # by a range of its own: one code is range/q, and what lies outside saturates


def largest_activation(bits: int) -> int:
    """Return q, the largest code of activations: 2^(bits-1) - 1; for 16 bits what two signed bytes can say, 32639."""
    return int(min(2 ** (bits - 1) - 1, 127 * 256 + 127))


def activation_bits(columns: int, most: int = 16, weight_bits: int = 8, group: int = 0) -> int:
    """Return the most activation bits, up to `most`, whose int32 sums over a scale's inputs cannot overflow.

    Sums of 16-bit weights are 64 bits long, and floats have no codes: there `most` it is.
    """
    terms = min(columns, group or columns)
    bits = most
    while weight_bits <= 8 and terms * LARGEST_CODE[weight_bits] * largest_activation(bits) > 2**31 - 1:
        bits -= 1
    return bits


@dataclass(frozen=True, eq=False)
class Matrix:
    """A weight matrix, quantized with one scale a row or a group of inputs, or float.

    Attributes:
        codes: `[rows, columns]`; int8 within +-7 or +-127, or int16 within +-32767; for 32 bits float32, zero or
            of magnitude 2^-40 to 2^40.
        scales: float32 `[rows, groups]`: one group a row within [2^-40, 2^40], several within [2^-24, 2^40]; for
            32 bits ones.
        reading: How it reads its input; floats are read as they are.
        bits: Bits of the input's integers.
        weight_bits: 4, 8, 16 or 32.
        group: Inputs that share a scale, 8 or 32; 0: all of a row.
        name: Its name in the file that it comes from, for messages and tools; plans have none.
        exponent: Of the input's codes, where the reading is FIXED; see `fixed`.
        range: The largest magnitude that codes say, where it reads by a constant, 2^-40 to 2^40; else 1.
    """

    codes: Array
    scales: Floats
    reading: Reading
    bits: int
    weight_bits: int = 8
    group: int = 0
    name: str = ""
    exponent: int = 0
    range: np.float32 = ONE


def encode(matrix: Matrix, x: Floats) -> tuple[Array, np.float32]:
    """Turn one frame into codes for a matrix.

    Args:
        matrix: The matrix that will read it; its `reading` and `bits` decide.
        x: One frame, float32 `[columns]`.

    Returns:
        The codes `[columns]`, within +-q for q = `largest_activation(bits)`, and the value of one code. For float
        weights the values themselves, magnitudes below 2^-60 being 0, and 1.
    """
    if matrix.weight_bits == FLOAT:
        return without_tiny(x), np.float32(1)
    q = np.float32(largest_activation(matrix.bits))
    if matrix.reading is not Reading.FRAME:
        return np.rint(np.clip(x * (q / matrix.range), -q, q)).astype(np.int64), matrix.range / q
    largest = np.max(np.abs(x))
    if largest < SILENT:
        return np.zeros(x.shape, np.int64), np.float32(0)
    scale = largest / q
    return np.rint(x / scale).astype(np.int64), scale


def product(matrix: Matrix, x: Floats) -> Floats:
    """Return W x for one frame: `[columns]` -> `[rows]`.

    One scale a row: the exact integer sum, rounded once, times (scale of the frame x scale of the row). Groups:
    those sums times the groups' scales, added in ascending order, times the scale of the frame. Floats: the terms
    in ascending order.
    """
    codes, scale = encode(matrix, x)
    if matrix.weight_bits == FLOAT:
        return _ascending(matrix.codes[:, k] * codes[k] for k in range(len(codes)))
    if matrix.scales.shape[1] == 1:
        return _exact_sum(matrix, codes, slice(None)) * (scale * matrix.scales[:, 0])
    parts = (slice(at, at + matrix.group) for at in range(0, len(codes), matrix.group))
    total = _ascending(_exact_sum(matrix, codes, part) * matrix.scales[:, g] for g, part in enumerate(parts))
    return total * scale


def affine(matrix: Matrix, bias: Floats, x: Floats) -> Floats:
    """Return W x + b for one frame: `[columns]` -> `[rows]`."""
    return product(matrix, x) + bias


def row(matrix: Matrix, index: int) -> Floats:
    """Return one row as floats: codes times their scales."""
    group = matrix.group or matrix.codes.shape[1]
    scales: Floats = np.repeat(matrix.scales[index], group)[: matrix.codes.shape[1]]
    values: Floats = matrix.codes[index].astype(np.float32) * scales
    return values


def _exact_sum(matrix: Matrix, codes: Array, part: slice) -> Floats:
    """Return the exact integer sums of a part of the inputs, rounded once to float32."""
    sums = matrix.codes[:, part].astype(np.int64) @ codes[part].astype(np.int64)
    if matrix.weight_bits <= 8 and np.any(np.abs(sums) > 2**31 - 1):
        raise AssertionError(f"int32 overflow: {matrix.codes.shape[1]} columns at {matrix.bits} bits")
    return sums.astype(np.float32)


def _ascending(terms: Iterator[Floats]) -> Floats:
    """Return the sum of terms in their order, from zero."""
    total: Floats = np.zeros((), np.float32)
    for term in terms:
        total = total + term
    return total
