"""Fixed-point numbers of the integer operators. Every rounding is floor(v + 1/2); src/fixed.h does the same in C.

A value between operators is a float32. An integer operator turns it into a code, code = value * 2^exponent, computes
with integers, and writes code * 2^-exponent, which a float32 holds exactly. So states, snapshots and contracts are the
same as in other models, and float operators may come before or after an integer operator.
"""

from functools import cache

import numpy as np

from ...arrays import Array, Floats

LEAST_EXPONENT, MOST_EXPONENT = -40, 60  # a code of 24 bits stays below 2^64 and is no smaller than 2^-60
VALUE_BITS = 25  # sign included: a float32 holds these codes exactly
STATE_BITS = 16  # bits of c
GATE = 16  # exponent of the input of a gate
UNIT = 15  # exponent of the output of a gate: 1 is 2^15
MOST_SUM = 2**28  # sums saturate here: a gate is saturated long before, and three such sums fit in 32 bits
TABLE_STEP = 7  # the table holds tanh at every 2^-7, linear between: within 0.2 of a code
TABLE_END = 6  # tanh is 1 from here on


def largest(bits: int) -> int:
    """Return the largest code of the given number of bits; the smallest is its negative."""
    return int(2 ** (bits - 1) - 1)


def fixed_bits(columns: int) -> int:
    """Return the most activation bits, up to 16, for which int32 sums with 8-bit weights cannot overflow."""
    bits = 16
    while columns * largest(8) * largest(bits) > 2**31 - 1:
        bits -= 1
    return bits


def codes(x: Floats, exponent: int | Array, bits: int) -> Array:
    """Return values as int64 codes, clipped to the largest code; float64 holds every step exactly."""
    nearest = np.floor(x.astype(np.float64) * 2.0**exponent + 0.5)
    return np.clip(nearest, -largest(bits), largest(bits)).astype(np.int64)


def values(codes: Array, exponent: int | Array) -> Floats:
    """Return codes of at most VALUE_BITS as float32, exactly."""
    return (codes * 2.0 ** np.negative(exponent)).astype(np.float32)


def rounded(products: Array, shift: int | Array) -> Array:
    """Return floor(products / 2^shift + 1/2) of int64."""
    return (products + (np.int64(1) << shift >> 1)) >> shift


def scaled(sums: Array, scales: Floats, exponent: int) -> Array:
    """Return sums * scales * 2^exponent, rounded and clipped to +-MOST_SUM.

    A float32 scale is used exactly, as a mantissa of 24 bits and a power of two. |sums| < 2^31, so the product of a sum
    and a mantissa fits in 64 bits.
    """
    mantissas, powers = np.frexp(scales.astype(np.float64))
    return shifted(sums * np.round(mantissas * 2.0**24).astype(np.int64), 24 - powers - exponent)


def shifted(products: Array, shifts: Array) -> Array:
    """Return products / 2^shifts of int64, rounded and clipped to +-MOST_SUM."""
    down = (products + (np.int64(1) << np.clip(shifts - 1, 0, 62))) >> np.clip(shifts, 1, 63)
    up = np.clip(products, -MOST_SUM, MOST_SUM) << np.clip(-shifts, 0, 30)
    found: Array = np.clip(np.where(shifts > 0, down, up), -MOST_SUM, MOST_SUM)
    return found


# ---- gates ----


@cache
def tanh_table() -> Array:
    """Return floor(2^15 tanh(x) + 1/2) at x = 0, 2^-7, ... 6, computed with integers: the same on every machine."""
    return np.array([_tanh(i) for i in range((TABLE_END << TABLE_STEP) + 1)], np.int64)


def _tanh(place: int) -> int:
    """Return floor(2^15 tanh(place / 2^7) + 1/2) by the series of e^2x, with 128 bits after the binary point."""
    one = term = power = 1 << 128
    for k in range(1, 100):  # 12^100 / 100! < 2^-165
        term = term * place // (k << (TABLE_STEP - 1))
        power += term
    return (((power - one) << (UNIT + 1)) // (power + one) + 1) >> 1


def _between(x: Array, bits: int) -> Array:
    """Interpolate the table at codes x: its entries are 2^bits codes apart, and the function is odd."""
    place = np.minimum(np.abs(x), (TABLE_END << TABLE_STEP << bits) - 1)
    table, at, rest = tanh_table(), place >> bits, place & ((1 << bits) - 1)
    y = rounded((table[at] << bits) + (table[at + 1] - table[at]) * rest, bits)
    return np.where(x < 0, -y, y)


def tanh(x: Array) -> Array:
    """Return tanh of codes of exponent GATE, as codes of exponent UNIT, within +-2^15."""
    return _between(x, GATE - TABLE_STEP)


def sigmoid(x: Array) -> Array:
    """Return (1 + tanh(x / 2)) / 2 in the same form, within 0 and 2^15."""
    return ((1 << UNIT) + _between(x, GATE - TABLE_STEP + 1) + 1) >> 1
