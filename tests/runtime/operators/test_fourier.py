"""The spectrum of a frame, against NumPy's in float64 and against a matrix in float32."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.runtime.arrays import Floats
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.operators import Fourier
from tidegate.runtime.operators.fourier import radices, roots_of_unity

LENGTHS = [n for n in range(2, 1025, 2) if n == 2 or radices(n // 2)]


def _fourier(length: int, window: Floats, start: int = 0) -> Fourier:
    return Fourier((0,), window, roots_of_unity(length).astype(np.float32), start)


@given(length=st.sampled_from(LENGTHS), seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
def test_the_spectrum_is_that_of_numpy(length: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    width = 1 + round(share * (length - 1))
    start = int(rng.integers(0, length - width + 1))
    window, x = rng.uniform(0.1, 2, width).astype(np.float32), rng.normal(0, 1, width).astype(np.float32)
    op = _fourier(length, window, start)
    frame = np.zeros(length)
    frame[start : start + width] = (x * window).astype(np.float64)
    wanted = np.fft.rfft(frame)
    found = op.step((), x)[0]
    assert op.width([width]) == len(found) == length + 2
    bins = length // 2 + 1
    scale = np.linalg.norm(frame)
    assert np.abs(found[:bins] - wanted.real).max() <= 1e-6 * scale  # seen: 4e-7
    assert np.abs(found[bins:] - wanted.imag).max() <= 1e-6 * scale


@pytest.mark.parametrize("length", [256, 320, 400, 480, 512, 640])
def test_it_is_closer_than_the_matrix(length: int) -> None:
    rng = np.random.default_rng(length)
    window = np.hanning(length + 1)[:length].astype(np.float32)
    turns = np.outer(np.arange(length // 2 + 1), np.arange(length)) % length
    matrix = (window * roots_of_unity(length)[:, turns].reshape(-1, length)).astype(np.float32)
    errors = np.zeros(2)
    for _ in range(20):
        x = rng.normal(0, 1, length).astype(np.float32)
        exact = np.fft.rfft(x * window.astype(np.float64))
        wanted = np.concatenate([exact.real, exact.imag])
        total = np.zeros(length + 2, np.float32)
        for k, sample in enumerate(x):  # in the order of the engine
            total = total + matrix[:, k] * sample
        made = _fourier(length, window).step((), x)[0], total
        errors = np.maximum(errors, [np.abs(y - wanted).max() / np.abs(wanted).max() for y in made])
    print(f"{length} samples: error of the largest value {errors[0]:.1e}, by the matrix {errors[1]:.1e}")
    assert errors[0] <= 3e-7
    assert errors[0] < errors[1]


@pytest.mark.parametrize("length", [2, 10, 12, 256, 400, 1250])
def test_roots_are_exact_at_quarter_turns_and_close_elsewhere(length: int) -> None:
    roots = roots_of_unity(length)
    angles = 2 * np.pi * np.arange(length) / length
    assert np.abs(roots - [np.cos(angles), -np.sin(angles)]).max() <= 2e-15  # most of it is the rounding of the angle
    quarters = roots[:, :: length // 4] if length % 4 == 0 else roots[:, :: length // 2]
    assert set(np.abs(quarters).ravel()) <= {0.0, 1.0}


def test_lengths_have_no_prime_above_five() -> None:
    assert radices(200) == [4, 5, 5, 2]
    assert radices(1) == radices(14) == []


def test_a_spectrum_out_of_range_is_refused() -> None:
    ones = np.ones(4, np.float32)
    with pytest.raises(ChunkError, match=r"leaves 2\^64"):
        _fourier(4, ones).step((), np.full(4, 2.0**63, np.float32))


def test_tiny_values_become_zero() -> None:
    found = _fourier(4, np.ones(4, np.float32)).step((), np.full(4, 2.0**-61, np.float32))[0]
    assert not found.any()
