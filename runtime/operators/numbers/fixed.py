"""Numbers of the integer operators: fixed point, every rounding floor(v + 1/2), the same in C in src/fixed.h.

A value between operators stays a float32, whose bits integers alone read and write: an integer operator makes codes of
it, code = value * 2^exponent, and writes what it computed, code * 2^-exponent, exactly. So state, snapshots and the
file's contract are those of any model, and an operator that computes in floats may follow or go before.
"""

from functools import cache

import numpy as np

from ...arrays import Array, Floats

LEAST_EXPONENT, MOST_EXPONENT = -40, 60  # 24 bits stay below 2^64, and a code is no smaller than 2^-60
VALUE_BITS = 25  # with the sign: codes that a float32 holds exactly
STATE_BITS = 16  # of c
GATE = 16  # exponent of what enters a gate
UNIT = 15  # exponent of what comes out of one: 1 is 2^15
MOST_SUM = 2**28  # sums end there; a gate has long been saturated, and three of them fit in 32 bits
TABLE_STEP = 7  # tanh stands at every 2^-7, linear between: within 0.2 of a code
TABLE_END = 6  # from where on it is 1


def largest(bits: int) -> int:
    """Return the largest code of so many bits; the smallest is its negative."""
    return int(2 ** (bits - 1) - 1)


def fixed_bits(columns: int) -> int:
    """Return the most bits of activations, up to 16, whose int32 sum with 8-bit weights cannot overflow."""
    bits = 16
    while columns * largest(8) * largest(bits) > 2**31 - 1:
        bits -= 1
    return bits


def codes(x: Floats, exponent: int | Array, bits: int) -> Array:
    """Return values as codes, int64, those beyond the largest at it; float64 holds every step exactly."""
    nearest = np.floor(x.astype(np.float64) * 2.0**exponent + 0.5)
    return np.clip(nearest, -largest(bits), largest(bits)).astype(np.int64)


def values(codes: Array, exponent: int | Array) -> Floats:
    """Return codes of up to VALUE_BITS as float32, exactly."""
    return (codes * 2.0 ** np.negative(exponent)).astype(np.float32)


def rounded(products: Array, shift: int | Array) -> Array:
    """Return floor(products / 2^shift + 1/2) of int64."""
    return (products + (np.int64(1) << shift >> 1)) >> shift


def scaled(sums: Array, scales: Floats, exponent: int) -> Array:
    """Return sums times float32 scales times 2^exponent, rounded, within MOST_SUM; a scale is its mantissa, exactly.

    |sums| < 2^31, so the product with a mantissa of 24 bits fits into 64.
    """
    mantissas, powers = np.frexp(scales.astype(np.float64))
    products = sums * np.round(mantissas * 2.0**24).astype(np.int64)
    shifts = 24 - powers - exponent
    down = (products + (np.int64(1) << np.clip(shifts - 1, 0, 62))) >> np.clip(shifts, 1, 63)
    up = np.clip(products, -MOST_SUM, MOST_SUM) << np.clip(-shifts, 0, 30)
    found: Array = np.clip(np.where(shifts > 0, down, up), -MOST_SUM, MOST_SUM)
    return found


# ---- gates ----


@cache
def tanh_table() -> Array:
    """Return tanh at 0, 2^-7, ... 6, each floor(2^15 tanh + 1/2): made of integers, the same everywhere."""
    return np.array([_tanh(i) for i in range((TABLE_END << TABLE_STEP) + 1)], np.int64)


def _tanh(place: int) -> int:
    """Return floor(2^15 tanh(place / 2^7) + 1/2), by the series of e^2x with 128 bits behind the point."""
    one = term = power = 1 << 128
    for k in range(1, 100):  # 12^100 / 100! < 2^-165
        term = term * place // (k << (TABLE_STEP - 1))
        power += term
    return (((power - one) << (UNIT + 1)) // (power + one) + 1) >> 1


def _between(x: Array, bits: int) -> Array:
    """Return the function of the table at codes x, its places 2^bits apart, between them on a line; odd."""
    place = np.minimum(np.abs(x), (TABLE_END << TABLE_STEP << bits) - 1)
    table, at, rest = tanh_table(), place >> bits, place & ((1 << bits) - 1)
    y = rounded((table[at] << bits) + (table[at + 1] - table[at]) * rest, bits)
    return np.where(x < 0, -y, y)


def tanh(x: Array) -> Array:
    """Return tanh of codes of exponent GATE, as codes of exponent UNIT, within +-2^15."""
    return _between(x, GATE - TABLE_STEP)


def sigmoid(x: Array) -> Array:
    """Return (1 + tanh(x / 2)) / 2 in the same way, within 0 and 2^15."""
    return ((1 << UNIT) + _between(x, GATE - TABLE_STEP + 1) + 1) >> 1
