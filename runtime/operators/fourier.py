"""The spectrum of a frame of real samples, by a Fourier transform in a fixed order.

The samples become half as many complex numbers, which go through stages of radix 4, 5, 3 and 2 (Stockham's form: the
order is natural at both ends). At the end the two halves of a real spectrum are taken apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi

import numpy as np

from ..arrays import Array, Floats
from .base import FloatOperator, Record
from .numbers.functions import HALF, without_tiny


def _floats(*hexadecimal: str) -> list[np.float32]:
    return [np.float32(float.fromhex(h)) for h in hexadecimal]


(SINE_3,) = _floats("0x1.bb67aep-1")  # sin(2 pi / 3)
COSINES_5 = _floats("0x1.3c6ef4p-2", "-0x1.9e377ap-1")  # cos(2 pi / 5), cos(4 pi / 5)
SINES_5 = _floats("0x1.e6f0e2p-1", "0x1.2cf23p-1")  # sin(2 pi / 5), sin(4 pi / 5)


def _turned(z: Floats) -> Floats:
    """Return complex numbers times -i; the first axis holds real and imaginary parts."""
    return np.stack([z[1], -z[0]])


def _two(a: Floats, b: Floats) -> tuple[Floats, ...]:
    return a + b, a - b


def _three(a: Floats, b: Floats, c: Floats) -> tuple[Floats, ...]:
    both = b + c
    u, v = a - HALF * both, _turned(SINE_3 * (b - c))
    return a + both, u + v, u - v


def _four(a: Floats, b: Floats, c: Floats, d: Floats) -> tuple[Floats, ...]:
    even, odd, u, v = a + c, b + d, a - c, _turned(b - d)
    return even + odd, u + v, even - odd, u - v


def _five(a: Floats, b: Floats, c: Floats, d: Floats, e: Floats) -> tuple[Floats, ...]:
    outer, inner, apart, between = b + e, c + d, b - e, c - d
    u = (a + COSINES_5[0] * outer) + COSINES_5[1] * inner
    v = _turned(SINES_5[0] * apart + SINES_5[1] * between)
    r = (a + COSINES_5[1] * outer) + COSINES_5[0] * inner
    s = _turned(SINES_5[1] * apart - SINES_5[0] * between)
    return a + (outer + inner), u + v, r + s, r - s, u - v


BUTTERFLIES: dict[int, Callable[..., tuple[Floats, ...]]] = {4: _four, 5: _five, 3: _three, 2: _two}


def radices(points: int) -> list[int]:
    """Return the radices of the stages of so many complex numbers; empty if a prime above 5 divides it."""
    found: list[int] = []
    while points > 1:
        radix = next((radix for radix in BUTTERFLIES if points % radix == 0), 0)
        if not radix:
            return []
        found.append(radix)
        points //= radix
    return found


@dataclass(frozen=True, eq=False)
class Fourier(FloatOperator):
    """The spectrum of a frame: real parts of the bins 0 to length / 2, then their imaginary parts.

    Attributes:
        window: float32 `[width]`, which multiplies the samples.
        roots: float32 `[2, length]`: e^(-2 pi i k / length), real parts, then imaginary parts, as `roots_of_unity`
            makes them. The length is even and has no prime factor above 5.
        start: Zeros before the samples; zeros after them fill the length.
    """

    window: Floats
    roots: Floats
    start: int = 0

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """Real and imaginary parts of the bins."""
        return int(self.roots.shape[1]) + 2

    def formula(self, *x: Floats) -> Floats:
        """Window, stages, two halves; tiny values become zero after each of them."""
        frame = np.zeros(self.roots.shape[1], np.float32)
        frame[self.start : self.start + len(self.window)] = without_tiny(x[0] * self.window)
        z, done = frame.reshape(-1, 2).T, 1
        for radix in radices(z.shape[1]):
            z = self._stage(z, radix, done)
            done *= radix
        return self._apart(z).ravel()

    def _stage(self, z: Floats, radix: int, done: int) -> Floats:
        """Return z after a stage: `[2, radix, left, done]` becomes `[2, left, radix, done]`."""
        parts = z.reshape(2, radix, -1, done)
        real, imaginary = np.stack(BUTTERFLIES[radix](*np.swapaxes(parts, 0, 1)), 1)
        turns = 2 * done * np.outer(np.arange(radix), np.arange(parts.shape[2]))
        cosine, sine = self.roots[:, turns, None]
        turned = np.stack([real * cosine - imaginary * sine, real * sine + imaginary * cosine])
        return without_tiny(np.swapaxes(turned, 1, 2).reshape(2, -1))

    def _apart(self, z: Floats) -> Floats:
        """Return the spectrum of the samples, from that of pairs of samples as complex numbers."""
        ahead = np.concatenate([z, z[:, :1]], 1)
        (a, b), (c, d) = ahead, ahead[:, ::-1]
        even, odd = (HALF * (a + c), HALF * (b - d)), (HALF * (b + d), HALF * (c - a))
        cosine, sine = self.roots[:, : len(a)]
        return np.stack([even[0] + (odd[0] * cosine - odd[1] * sine), even[1] + (odd[0] * sine + odd[1] * cosine)])

    def record(self) -> Record:
        """The length, the zeros before the samples, the window and the roots."""
        return Record(counts=(self.roots.shape[1], self.start), vectors=(self.window, self.roots.ravel()))


def roots_of_unity(length: int) -> Array:
    """Return e^(-2 pi i k / length) for each k, float64 `[2, length]`: real parts, then imaginary parts.

    Only sums and products of float64, so that plans have the same bits whatever the machine's cosine is. Within 2e-16.
    """
    octant, rest = np.divmod(8 * np.arange(length), length)  # of the turn
    angle = np.where(octant % 2 == 1, length - rest, rest) * (pi / 4) / length
    cosine, sine = _series(np.ones(length), angle, 1), _series(angle, angle, 2)
    swapped = (octant + 1) // 2 % 2 == 1
    real, imaginary = np.where(swapped, sine, cosine), np.where(swapped, cosine, sine)
    return np.stack([np.where((octant >= 2) & (octant < 6), -real, real), np.where(octant < 4, -imaginary, imaginary)])


def _series(first: Array, angle: Array, k: int) -> Array:
    """Return the sum of ten terms and the first; each is the one before times -angle^2 / (k (k + 1)), k two higher."""
    total, term = first, first
    for low in range(k, k + 20, 2):
        term = term * (angle * angle) * (-1 / (low * (low + 1)))
        total = total + term
    return total
