"""Matrices that are spectra become Fourier transforms; matrices that only look alike stay."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.runtime.arrays import Array
from tidegate.runtime.lowering.spectra import LEAST_LENGTH, linear
from tidegate.runtime.operators import Fourier, Linear
from tidegate.runtime.operators.matrix import FLOAT, Matrix, Reading


def _layer(codes: Array, weight_bits: int = FLOAT) -> Linear:
    made = Matrix(codes.astype(np.float32), np.ones((len(codes), 1), np.float32), Reading.FRAME, 16, weight_bits)
    return Linear((0,), made, np.zeros(len(codes), np.float32))


def _waves(length: int, window: Array, *, single: bool = False) -> Array:
    start = (length - len(window)) // 2
    turns = np.outer(np.arange(length // 2 + 1), np.arange(start, start + len(window)))
    angles = 2 * np.pi * turns / length
    kind = np.float32 if single else np.float64
    return np.concatenate([np.cos(angles).astype(kind) * window, np.sin(-angles).astype(kind) * window])


@given(
    length=st.sampled_from([64, 80, 256, 320, 400, 480, 512, 640]),
    shorter=st.integers(0, 60),
    single=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_spectrum_becomes_a_transform(length: int, shorter: int, single: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    window = (np.hanning(length - shorter) * rng.uniform(0.01, 3)).astype(np.float32)
    layer = _layer(_waves(length, window, single=single))
    made = linear(layer)
    assert isinstance(made, Fourier)
    x = rng.normal(0, 1, length - shorter).astype(np.float32)
    found, wanted = made.step((), x)[0], layer.w.codes.astype(np.float64) @ x
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()  # seen: 4e-7


def _changed(codes: Array, row: int, column: int, factor: float) -> Array:
    changed = codes.copy()
    changed[row, column] *= factor
    return changed


PLAIN = _waves(80, np.hamming(80).astype(np.float32))
LIKE = {
    "one weight differs": _changed(PLAIN, 17, 23, 1.0001),
    "one weight of the window differs": _changed(PLAIN, 0, 40, 1.01),
    "the other sign of the sines": np.concatenate([PLAIN[:41], -PLAIN[41:]]),
    "one bin is missing": np.delete(PLAIN, (40, 81), 0),
    "odd rows": PLAIN[:-1],
    "samples turned around": PLAIN[:, ::-1],
    "a prime above five": _waves(98, np.ones(98)),
    "too short to be faster": _waves(LEAST_LENGTH - 2, np.ones(LEAST_LENGTH - 2)),
    "more samples than the length": np.concatenate([PLAIN, PLAIN], 1),
    "small": np.random.default_rng(0).choice([-1e-12, 1e-12], (82, 80)),
    "random": np.random.default_rng(0).normal(0, 1, (82, 80)),
    "zeros in the first sine": np.random.default_rng(0).normal(0, 1, (82, 80)) * (np.arange(82)[:, None] != 41),
}


@pytest.mark.parametrize("name", LIKE)
def test_matrices_that_only_look_alike_stay(name: str) -> None:
    layer = _layer(LIKE[name])
    assert linear(layer) is layer


def test_codes_and_biases_stay() -> None:
    layer = _layer(np.rint(PLAIN * 32767), weight_bits=16)
    assert linear(layer) is layer
    biased = replace(_layer(PLAIN), bias=np.ones(82, np.float32))
    assert linear(biased) is biased
