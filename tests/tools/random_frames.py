"""Random operators inside a frame: of several axes, and of samples."""

from collections.abc import Sequence

import numpy as np
from tidegate.runtime.arrays import Floats
from tidegate.runtime.operators import Convolution, Depthwise, Fourier, Geometry, Take
from tidegate.runtime.operators.fourier import roots_of_unity
from tidegate.runtime.operators.matrix import FLOAT, Reading
from tools.random_layers import matrix

Pair = tuple[int, int]
LENGTHS = (2, 4, 6, 8, 10, 12, 16, 20, 24, 30, 32, 36, 40, 50, 54, 64, 80, 90, 100, 120, 128, 150, 240, 400, 512, 1250)


def _pair(rng: np.random.Generator, least: int, most: Sequence[int]) -> Pair:
    first, second = (int(rng.integers(least, max(least, limit) + 1)) for limit in most)
    return first, second


def geometry(rng: np.random.Generator, width: int) -> tuple[int, Geometry]:
    """Return channels and a geometry whose frame has `width` features; taps may lie outside of the frame."""
    channels = int(rng.choice([n for n in range(1, width + 1) if width % n == 0]))
    area = width // channels
    height = int(rng.choice([n for n in range(1, area + 1) if area % n == 0]))
    size = (height, area // height)
    kernel, answers = _pair(rng, 1, (3, 4)), _pair(rng, 1, (3, 7))
    return channels, Geometry(
        size, kernel, _pair(rng, 1, (2, 3)), _pair(rng, 1, (2, 2)), _pair(rng, 0, (2, 3)), answers
    )


def take(rng: np.random.Generator, value: int, width: int) -> Take:
    """Return any features of a value, or zeros."""
    run = int(rng.integers(1, width + 1))
    return Take((value,), rng.integers(-1, width - run + 1, int(rng.integers(1, 2 + 60 // run))), run)


def convolution(  # noqa: PLR0917
    rng: np.random.Generator, value: int, width: int, reading: Reading, bits: int, weights: Pair | None
) -> Convolution:
    """Return a convolution inside the frames of a value."""
    channels, where = geometry(rng, width)
    outputs = int(rng.integers(1, 20))
    w = matrix(rng, outputs, channels * where.places.shape[1], reading, bits, weights=weights)
    return Convolution((value,), w, _bias(rng, outputs), where, bool(rng.integers(2)))


def depthwise(rng: np.random.Generator, value: int, width: int, weights: Pair | None) -> Depthwise:
    """Return a convolution of each channel by itself."""
    channels, where = geometry(rng, width)
    outputs = channels * int(rng.integers(1, 3))
    w = matrix(rng, outputs, where.places.shape[1], Reading.FRAME, 16, weights=weights or (FLOAT, 0))
    return Depthwise((value,), w, _bias(rng, outputs), where)


def fourier(rng: np.random.Generator, value: int, width: int) -> Fourier:
    """Return the spectrum of a value under any window, of any radices; the length of a wide value is a power of 2."""
    lengths = [n for n in LENGTHS if n >= width] or [1 << (width - 1).bit_length()]
    length = int(rng.choice(lengths[:4]))
    start = int(rng.integers(0, length - width + 1))
    window = rng.uniform(0.1, 3, width).astype(np.float32)
    return Fourier((value,), window, roots_of_unity(length).astype(np.float32), start)


def _bias(rng: np.random.Generator, outputs: int) -> Floats:
    return rng.normal(0, 1, outputs).astype(np.float32)
