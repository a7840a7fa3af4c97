"""Weight matrices: how floats become integers, and exact integer products.

W8A16 means weights of 8 bits and activations of 16. Each output channel has one scale, or one scale per group of
inputs. Weights of 32 bits are float32 values without scales.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from ..arrays import Array, Floats
from .numbers.functions import ONE, without_tiny

LARGEST_CODE = {4: 7, 8: 127, 16: 32767}  # by weight bits; the codes -8, -128 and -32768 are refused
FLOAT = 32  # weight bits of a matrix that is not quantized
GROUP_SIZES = (8, 32)  # inputs that may share a scale; 0 means all inputs of an output channel
SILENT = np.float32(2.0**-64)  # a frame whose largest magnitude is below this counts as zeros
LEAST_RANGE, LARGEST_RANGE = (
    np.float32(2.0**-40),
    np.float32(2.0**40),
)  # limits of the range of a matrix with Reading.CONSTANT


class Reading(Enum):
    """How a matrix turns its input floats into integers (q is the largest code)."""

    FRAME = 1  # one code is (largest magnitude of the frame) / q
    HIDDEN = 2  # the input is an h within (-1, 1): one code is 1 / q
    FIXED = 3  # one code is 2^-exponent, from calibration; only in integer operators
    CONSTANT = 4  # one code is range / q, from calibration; larger values saturate


def largest_activation(bits: int) -> int:
    """Return q, the largest activation code: 2^(bits-1) - 1; for 16 bits 32639, the most that two signed bytes hold."""
    return int(min(2 ** (bits - 1) - 1, 127 * 256 + 127))


def activation_bits(columns: int, most: int = 16, weight_bits: int = 8, group: int = 0) -> int:
    """Return the most activation bits, up to `most`, for which int32 sums over the inputs of a scale cannot overflow.

    For 16-bit weights, whose sums have 64 bits, and for float weights, which have no codes, this is `most`.
    """
    terms = min(columns, group or columns)
    bits = most
    while weight_bits <= 8 and terms * LARGEST_CODE[weight_bits] * largest_activation(bits) > 2**31 - 1:
        bits -= 1
    return bits


@dataclass(frozen=True, eq=False)
class Matrix:
    """A weight matrix: quantized with one scale per output channel or per group of inputs, or float.

    Attributes:
        codes: `[outputs, inputs]`; int8 within +-7 or +-127, or int16 within +-32767. For 32 bits float32, zero or
            of magnitude 2^-40 to 2^40.
        scales: float32 `[outputs, groups]`: with one group within [2^-40, 2^40], with several within [2^-24, 2^40];
            ones for 32 bits.
        reading: How its input becomes integers; a float matrix reads floats.
        bits: Bits of the integers of its input.
        weight_bits: 4, 8, 16 or 32.
        group: Inputs that share a scale, 8 or 32; 0: all of an output channel.
        name: Its name in the source file, for messages and tools; a plan does not keep it.
        exponent: The exponent of its input's codes if the reading is FIXED; see `numbers/fixed.py`.
        range: The largest magnitude of its input, 2^-40 to 2^40, if the reading is CONSTANT; else 1.
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
        matrix: The matrix that multiplies the frame; its `reading` and `bits` decide.
        x: One frame, float32 `[inputs]`.

    Returns:
        The codes `[inputs]`, within +-q for q = `largest_activation(bits)`, and the value of one code. For float
        weights: the values themselves (0 for magnitudes below 2^-60), and 1.
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
    """Return W x for one frame: `[inputs]` -> `[outputs]`.

    With one scale per output channel: the exact integer sum, rounded once, times (scale of the frame x scale of the
    channel). With groups: the sum of each group times its scale, added in ascending order, times the scale of the
    frame. With floats: the sum of the terms in ascending order.
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
    """Return W x + b for one frame: `[inputs]` -> `[outputs]`."""
    return product(matrix, x) + bias


def channels(matrix: Matrix, start: int, stop: int) -> Matrix:
    """Return some of the output channels of a matrix."""
    return replace(matrix, codes=matrix.codes[start:stop], scales=matrix.scales[start:stop])


def row(matrix: Matrix, index: int) -> Floats:
    """Return the weights of one output channel (of a table: one row) as floats: codes times their scales."""
    group = matrix.group or matrix.codes.shape[1]
    scales: Floats = np.repeat(matrix.scales[index], group)[: matrix.codes.shape[1]]
    values: Floats = matrix.codes[index].astype(np.float32) * scales
    return values


def _exact_sum(matrix: Matrix, codes: Array, part: slice) -> Floats:
    """Return the exact integer sums over some of the inputs, rounded once to float32."""
    sums = matrix.codes[:, part].astype(np.int64) @ codes[part].astype(np.int64)
    if matrix.weight_bits <= 8 and np.any(np.abs(sums) > 2**31 - 1):
        raise AssertionError(f"int32 overflow: {matrix.codes.shape[1]} columns at {matrix.bits} bits")
    return sums.astype(np.float32)


def _ascending(terms: Iterator[Floats]) -> Floats:
    """Return the sum of the terms in their order, starting from zero."""
    total: Floats = np.zeros((), np.float32)
    for term in terms:
        total = total + term
    return total
