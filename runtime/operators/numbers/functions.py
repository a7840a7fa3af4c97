"""Functions of float32 values: every operation is rounded, none is fused. src/functions.h does the same in C.

The errors given here are measured against float64 by tests/runtime/operators/numbers/test_functions.py.
"""

import numpy as np

from ...arrays import Floats
from ...errors import ChunkError

TINY = np.float32(2.0**-60)  # smaller magnitudes become +0: no subnormals in a decaying state
LARGEST = np.float32(2.0**64)  # larger magnitudes are refused, as infinities are

HALF, ONE = np.float32(0.5), np.float32(1)


def _floats(*hexadecimal: str) -> list[np.float32]:
    return [np.float32(float.fromhex(h)) for h in hexadecimal]


def without_tiny(x: Floats) -> Floats:
    """Return x with magnitudes below 2^-60 replaced by +0; NaN stays, so that `check_range` finds it."""
    return np.where(np.abs(x) < TINY, np.float32(0), x)


def check_range(x: Floats) -> Floats:
    """Return x.

    Raises:
        ChunkError: A value is not finite or its magnitude is above 2^64.
    """
    if not np.all(np.abs(x) <= LARGEST):
        raise ChunkError("a value is not finite or leaves 2^64; chunk refused, state unchanged")
    return x


def _polynomial(x: Floats, coefficients: list[np.float32]) -> Floats:
    """Return the polynomial by Horner's rule; the coefficient of the highest power comes first."""
    y = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        y = y * x + c
    return y


# tanh(x) = u P(u^2) / Q(u^2) with u = TANH_UNIT x: a minimax fit on [-9, 9], within 3.7e-7, and exactly 1 from 9 on.
# P and Q have degree 4; u is scaled so that both leading coefficients are 1.
TANH_UNIT = np.float32(float.fromhex("0x1.195c8p-6"))
TANH_LIMIT = np.float32(float.fromhex("0x1.3c881p-3"))
TANH_P = _floats("0x1.3015f6p-21", "0x1.0d7ae2p-12", "0x1.74fb6ep-6", "0x1.d20864p-2")
TANH_Q = _floats("0x1.4e35fap-27", "0x1.027eaep-16", "0x1.7b543ep-9", "0x1.fe5dd4p-4")


def tanh(x: Floats) -> Floats:
    """Return the hyperbolic tangent as the engine computes it; float32 in and out, within [-1, 1]."""
    u = np.clip(x * TANH_UNIT, -TANH_LIMIT, TANH_LIMIT)
    s = u * u
    p = (((s + TANH_P[3]) * s + TANH_P[2]) * s + TANH_P[1]) * s + TANH_P[0]
    q = (((s + TANH_Q[3]) * s + TANH_Q[2]) * s + TANH_Q[1]) * s + TANH_Q[0]
    y: Floats = np.clip(u * p / q, np.float32(-1), np.float32(1))
    return y


def sigmoid(x: Floats) -> Floats:
    """Return 0.5 tanh(0.5 x) + 0.5."""
    return HALF * tanh(HALF * x) + HALF


# ln 2 in two parts; the first has 9 bits, so its product with a small whole number is exact.
LN2_HIGH, LN2_LOW = _floats("0x1.63p-1", "-0x1.bd0106p-13")
LOG2_E = np.float32(float.fromhex("0x1.715476p+0"))
EXP_LOW, EXP_HIGH = np.float32(-42), np.float32(45)  # below: less than 2^-60; above: more than 2^64
EXP_P = _floats("0x1.a0d2cep-13", "0x1.6e879cp-10", "0x1.11121p-7", "0x1.555382p-5", "0x1.555554p-3", "0x1p-1")


def exp(x: Floats) -> Floats:
    """Return e^x, within 7.9e-8 of the value: x = k ln 2 + r, a polynomial of degree 7 in r, times 2^k.

    x is clamped to [-42, 45] first: outside, the result is 0 or refused in any case.
    """
    rest, power = _exp_parts(x)
    return (rest + ONE) * power


def expm1(x: Floats) -> Floats:
    """Return e^x - 1, within 1.2e-7 of the value (near 0 too); x is clamped as in `exp`."""
    rest, power = _exp_parts(x)
    return rest * power + (power - ONE)


def _exp_parts(x: Floats) -> tuple[Floats, Floats]:
    """Return e^r - 1 and 2^k for x = k ln 2 + r."""
    x = np.clip(x, EXP_LOW, EXP_HIGH)
    k = np.rint(x * LOG2_E)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    power: Floats = ((k.astype(np.int32) + 127) << 23).view(np.float32)
    return _polynomial(r, EXP_P) * (r * r) + r, power


LOG_P = _floats(
    "0x1.204376p-4", "-0x1.d7a37p-4", "0x1.de4a34p-4", "-0x1.fcba9ep-4", "0x1.23d37ep-3", "-0x1.555cap-3",
    "0x1.999d58p-3", "-0x1.fffff8p-3", "0x1.555554p-2",
)  # fmt: skip
SQRT_HALF_BITS = 0x3F3504F3


def log(x: Floats) -> Floats:
    """Return ln x, within 7.8e-8 of the value (near 1 too); NaN for 0 and below.

    x = 2^k m with m in [sqrt 1/2, sqrt 2), and a polynomial in m - 1.
    """
    bits = np.ascontiguousarray(x).view(np.int32)
    shifted = (bits - np.int32(SQRT_HALF_BITS)) >> 23
    f = (bits - (shifted << 23)).view(np.float32) - ONE
    k = shifted.astype(np.float32)
    s = f * f
    tail = (_polynomial(f, LOG_P) * f) * s + k * LN2_LOW
    y = (f + (tail - HALF * s)) + k * LN2_HIGH
    return np.where(x > 0, y, np.float32(np.nan))


def elu(x: Floats, alpha: float) -> Floats:
    """Return x above 0, else alpha (e^x - 1)."""
    return np.where(x > 0, x, np.float32(alpha) * expm1(x))


def softplus(x: Floats) -> Floats:
    """Return ln(1 + e^x), within 1.7e-7 of the value: max(x, 0) + ln(1 + e) for e = e^-|x|.

    1 + e is rounded; (e - (u - 1)) / u gives back what that lost.
    """
    e = exp(-np.abs(x))
    u = ONE + e
    y: Floats = np.where(x > 0, x, np.float32(0)) + (log(u) + (e - (u - ONE)) / u)
    return y


def power(x: Floats, exponent: float) -> Floats:
    """Return x^exponent for x above 0 as e^(exponent ln x), within 1.1e-7 (1 + |exponent ln x|) of the value.

    0 to a power above 0 is 0; NaN for other x, which have no real power or an infinite one.
    """
    n = np.float32(exponent)
    at_zero = np.float32(0) if n > 0 else np.float32(np.nan)
    return np.where(x > 0, exp(n * log(x)), np.where(x == 0, at_zero, np.float32(np.nan)))


# erf(x) = x P(x^2) / Q(x^2) on [-4, 4]; at 4 it is 1 in float32.
ERF_LIMIT = np.float32(4)
ERF_P = _floats(
    "-0x1.2bbe16p-32", "0x1.dbffdcp-26", "-0x1.19fea2p-19", "-0x1.dd85a4p-15", "-0x1.8158c6p-11", "-0x1.8343ecp-9",
    "-0x1.07b7a8p-6",
)  # fmt: skip
ERF_Q = _floats("-0x1.e8c19ap-17", "-0x1.bf7a52p-13", "-0x1.b9249cp-10", "-0x1.e337fp-8", "-0x1.d36d4ep-7")


def erf(x: Floats) -> Floats:
    """Return the error function, within [-1, 1]; within 4.2e-7."""
    x = np.clip(x, -ERF_LIMIT, ERF_LIMIT)
    s = x * x
    y: Floats = np.clip(x * _polynomial(s, ERF_P) / _polynomial(s, ERF_Q), -ONE, ONE)
    return y


SQRT_HALF = np.float32(float.fromhex("0x1.6a09e6p-1"))
GELU_INNER, GELU_CUBIC = _floats("0x1.988454p-1", "0x1.6e4e26p-5")  # sqrt(2/pi), 0.044715
GELU_LIMIT = np.float32(32)  # beyond, both forms are 0 or x


def gelu(x: Floats) -> Floats:
    """Return (0.5 x) (1 + erf(x / sqrt 2)): x times the share of a normal distribution below x."""
    return (HALF * x) * (ONE + erf(x * SQRT_HALF))


def gelu_tanh(x: Floats) -> Floats:
    """Return (0.5 x) (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))."""
    u = np.clip(x, -GELU_LIMIT, GELU_LIMIT)
    return (HALF * x) * (ONE + tanh((u + ((u * u) * u) * GELU_CUBIC) * GELU_INNER))


LANES = 8


def tree_sum(x: Floats) -> np.float32:
    """Return the sum in the engine's order: 8 interleaved lanes, each summed from +0 up, then folded by halves."""
    lanes = np.zeros(LANES, np.float32)
    for row in np.append(x, np.zeros(-x.size % LANES, np.float32)).reshape(-1, LANES):
        lanes = lanes + row
    for half in (4, 2, 1):
        lanes = lanes[:half] + lanes[half:]
    return np.float32(lanes[0])
