"""Properties of the specification, compared with float64."""

from dataclasses import replace

import numpy as np
import pytest
from tidegate.runtime.operators.matrix import largest_activation
from tidegate.runtime.program import Matrix, Reading, activation_bits
from tidegate.runtime.reference import encode, sigmoid, tanh


def test_tanh_is_close_bounded_and_saturates_exactly() -> None:
    x = np.linspace(-12, 12, 2_000_001, dtype=np.float32)
    y = tanh(x)
    error = np.max(np.abs(y - np.tanh(x.astype(np.float64))))
    print(f"largest error of tanh: {error:.2e}")
    assert error < 3.8e-7
    assert np.max(np.abs(y)) == 1
    assert np.all(y[x >= 9] == 1)
    np.testing.assert_array_equal(y, -tanh(-x))


def test_tanh_of_small_values_is_the_value() -> None:
    x = np.float32(2.0) ** np.arange(-60, -12, dtype=np.float32)
    np.testing.assert_allclose(tanh(x), x, rtol=2e-7)
    assert tanh(np.zeros(1, np.float32)) == 0


def test_sigmoid_reaches_zero_and_one_so_a_gate_can_hold_forever() -> None:
    assert sigmoid(np.array([18, 40, 1e30], np.float32)).tolist() == [1, 1, 1]
    assert sigmoid(np.array([-18, -40, -1e30], np.float32)).tolist() == [0, 0, 0]
    assert sigmoid(np.zeros(1, np.float32)) == 0.5


@pytest.mark.parametrize(
    ("columns", "bits"), [(1, 16), (518, 16), (519, 15), (1032, 15), (1033, 14), (4096, 13), (16384, 11)]
)
def test_activation_bits_are_the_most_that_cannot_overflow(columns: int, bits: int) -> None:
    assert activation_bits(columns) == bits
    assert columns * 127 * largest_activation(bits) <= 2**31 - 1
    assert bits == 16 or columns * 127 * largest_activation(bits + 1) > 2**31 - 1


@pytest.mark.parametrize("bits", range(2, 17))
def test_codes_of_activations_are_two_signed_bytes(bits: int) -> None:
    q = largest_activation(bits)
    codes = np.arange(-q, q + 1)
    low = codes.astype(np.int8)
    high = (codes - low) >> 8
    assert high.min() >= -128
    assert high.max() <= 127
    assert q == (32639 if bits == 16 else 2 ** (bits - 1) - 1)


@pytest.mark.parametrize(
    ("weight_bits", "columns", "group", "bits"),
    [(4, 9399, 0, 16), (4, 9400, 0, 15), (4, 16384, 32, 16), (8, 16384, 8, 16), (16, 16384, 0, 16), (32, 16384, 0, 16)],
)
def test_activation_bits_follow_from_what_shares_a_scale(weight_bits: int, columns: int, group: int, bits: int) -> None:
    assert activation_bits(columns, 16, weight_bits, group) == bits


def matrix(reading: Reading, bits: int) -> Matrix:
    return Matrix(np.zeros((1, 3), np.int8), np.ones((1, 1), np.float32), reading, bits)


def test_frame_reading_scales_by_the_frames_own_maximum() -> None:
    codes, scale = encode(matrix(Reading.FRAME, 16), np.array([0.5, -2, 1], np.float32))
    assert codes.tolist() == [8160, -32639, 16319]
    assert scale == np.float32(2) / np.float32(32639)


def test_frame_below_the_smallest_counts_as_silence() -> None:
    codes, scale = encode(matrix(Reading.FRAME, 16), np.full(3, 2.0**-65, np.float32))
    assert codes.tolist() == [0, 0, 0]
    assert scale == 0


def test_constant_reading_has_the_scale_of_its_range_and_saturates() -> None:
    by_constant = replace(matrix(Reading.CONSTANT, 8), range=np.float32(4))
    codes, scale = encode(by_constant, np.array([0.5, -4, 7], np.float32))
    assert codes.tolist() == [16, -127, 127]
    assert scale == np.float32(4) / np.float32(127)


def test_hidden_reading_has_one_scale_and_clamps() -> None:
    codes, scale = encode(matrix(Reading.HIDDEN, 8), np.array([0.5, -1, 7], np.float32))
    assert codes.tolist() == [64, -127, 127]
    assert scale == np.float32(1) / np.float32(127)
