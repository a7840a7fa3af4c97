"""Rounding to nearest: per channel or group, for any weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tidegate.quant.rounding.nearest import rms_error, rounded, smallest_scale, to_nearest
from tidegate.quant.rounding.precision import Precision
from tidegate.runtime.arrays import Floats

WEIGHTS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.floats(-100, 100, width=32)
)


@given(WEIGHTS, st.sampled_from([4, 8, 16]), st.sampled_from([0, 8, 32]))
def test_rounding_errs_by_at_most_half_a_step_and_codes_are_symmetric(weights: Floats, bits: int, group: int) -> None:
    codes, scales = rounded(weights, bits, group)
    columns = weights.shape[1]
    groups = -(-columns // (group or columns))
    assert codes.dtype == (np.int16 if bits == 16 else np.int8)
    assert np.abs(codes.astype(np.int32)).max() <= 2 ** (bits - 1) - 1
    assert scales.dtype == np.float32
    assert scales.shape == (len(weights), groups)
    assert np.all((scales >= 2.0 ** (-24 if groups > 1 else -40)) & (scales <= 2.0**40))
    step = np.repeat(scales, group or columns, axis=1)[:, :columns].astype(np.float64)
    assert np.all(np.abs(codes * step - weights) <= 0.5 * step * (1 + 2.0 ** (bits - 22)))


@pytest.mark.parametrize(("bits", "largest"), [(4, 7), (8, 127), (16, 32767)])
def test_scale_is_largest_magnitude_over_the_largest_code_and_zeros_have_scale_one(bits: int, largest: int) -> None:
    codes, scales = rounded(np.array([[1.0, -2.54, 0.02], [0, 0, 0]], np.float32), bits)
    assert scales[:, 0].tolist() == [np.float32(2.54) / np.float32(largest), 1]
    assert codes.tolist() == [[round(largest / 2.54), -largest, round(0.02 * largest / 2.54)], [0, 0, 0]]


def test_each_group_has_its_own_scale_and_the_last_may_be_shorter() -> None:
    weights = np.concatenate([np.full((1, 8), 0.5), np.full((1, 3), 2.0)], axis=1).astype(np.float32)
    codes, scales = rounded(weights, 4, 8)
    assert scales.tolist() == [[np.float32(0.5) / np.float32(7), np.float32(2) / np.float32(7)]]
    assert codes.tolist() == [[7] * 11]


def test_halves_go_to_even() -> None:
    codes, _ = rounded(np.array([[7, 0.5, 1.5, -2.5]], np.float32), 4)
    assert codes.tolist() == [[7, 0, 2, -2]]


def test_rms_error_is_relative_to_the_weights_and_zero_for_zeros() -> None:
    weights = np.array([[3.0, 4.0]], np.float32)
    assert rms_error(weights, np.array([[3.0, 3.0]])) == 0.2
    assert rms_error(weights, np.array([[3.0, 4.0]])) == 0
    assert rms_error(np.zeros((2, 3), np.float32), np.zeros((2, 3))) == 0


@given(WEIGHTS, st.sampled_from([Precision(4), Precision(8, 16, 8), Precision(16, 8, 32)]))
def test_values_are_codes_times_the_scale_of_their_group(weights: Floats, precision: Precision) -> None:
    made = to_nearest(weights, precision)
    assert made.precision == precision
    assert made.values.dtype == np.float64
    for (channel, place), value in np.ndenumerate(made.values):
        group = place // precision.group if precision.group else 0
        assert value == int(made.codes[channel, place]) * float(made.scales[channel, group])
    np.testing.assert_array_equal(made.steps, made.steps_of(made.scales))
    np.testing.assert_array_equal(made.steps_of(2 * made.scales[:1]), 2 * made.steps[:1])


@pytest.mark.parametrize(("columns", "smallest"), [(5, 2.0**-40), (9, 2.0**-24)])
def test_scales_stay_within_what_the_engine_accepts(columns: int, smallest: float) -> None:
    """The smallest scale of a group is larger than that of a whole channel."""
    for value, expected in ((1e-30, smallest), (1e30, 2.0**40)):
        codes, scales = rounded(np.full((1, columns), value, np.float32), 8, 8)
        assert smallest_scale(scales) == smallest
        assert set(scales.ravel().tolist()) == {expected}
        assert np.abs(codes).max() <= 127
