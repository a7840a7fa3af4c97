"""Rounding of rows: the specification's rule, for any weights."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tidegate.quant.rows import quantize_rows, relative_error
from tidegate.runtime.arrays import Floats

WEIGHTS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(-100, 100, width=32))


@given(WEIGHTS)
def test_rounding_errs_by_at_most_half_a_step_and_never_uses_minus_128(weights: Floats) -> None:
    codes, scales = quantize_rows(weights)
    assert codes.dtype == np.int8
    assert codes.min() >= -127
    assert scales.dtype == np.float32
    assert np.all((scales >= 2.0**-40) & (scales <= 2.0**40))
    step = scales[:, None].astype(np.float64)
    assert np.all(np.abs(codes * step - weights) <= 0.5 * step * (1 + 1e-5))


def test_scale_is_largest_magnitude_over_127_and_zeros_have_scale_one() -> None:
    codes, scales = quantize_rows(np.array([[1.0, -2.54, 0.02], [0, 0, 0]], np.float32))
    assert scales.tolist() == [np.float32(2.54) / np.float32(127), 1]
    assert codes.tolist() == [[50, -127, 1], [0, 0, 0]]


def test_relative_error_is_root_mean_square() -> None:
    weights = np.array([[3.0, 4.0]], np.float32)
    assert relative_error(weights, np.array([[3, 3]], np.int8), np.ones(1, np.float32)) == 0.2
