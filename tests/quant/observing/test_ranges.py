"""Ranges of activations: each rule gives the range that its name promises."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.quant.observing.observation import Segment
from tidegate.quant.observing.ranges import RANGE_RULES, Magnitudes, magnitudes
from tidegate.runtime.arrays import Floats
from tidegate.runtime.errors import QuantizationError
from tidegate.runtime.operators.matrix import LARGEST_RANGE, LEAST_RANGE


def counted(*parts: Floats) -> Magnitudes:
    found = Magnitudes()
    for part in parts:
        found.add(part)
    return found


def heavy_tailed(count: int = 200_000) -> Floats:
    values = np.random.default_rng(0).laplace(0, 1, count).astype(np.float32)
    values[0] = 100
    return values


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(-30, 30), st.sampled_from([*RANGE_RULES]), st.integers(2, 16))
def test_a_range_is_at_most_the_largest_magnitude_and_the_order_of_values_is_irrelevant(
    seed: int, level: float, rule: str, bits: int
) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.normal(0, 1, (300, 3)) * 2.0**level).astype(np.float32)
    found = counted(values).range(rule, bits)
    assert found.dtype == np.float32
    assert 0 < found <= np.abs(values).max() * np.float32(1 + 1e-6)
    cut = np.sort(rng.integers(0, 300, 4))
    assert counted(*np.split(values[np.argsort(np.abs(values).max(1))], cut)).range(rule, bits) == found


def test_minmax_is_the_largest_magnitude() -> None:
    assert counted(np.array([0.5, -3.25], np.float32)).range("minmax", 8) == np.float32(3.25)


def test_percentile_leaves_one_in_ten_thousand_outside() -> None:
    values = heavy_tailed()
    outside = np.mean(np.abs(values) > counted(values).range("percentile", 8))
    assert 0.9e-4 <= outside <= 1.0e-4


def test_mse_is_about_the_best_of_all_ranges() -> None:
    values = heavy_tailed(20_000)
    values[0] = 20

    def error(limit: float) -> float:
        step = limit / 7
        return float(np.mean((np.clip(np.rint(values / step), -7, 7) * step - values) ** 2))

    best = min(error(limit) for limit in np.linspace(0.5, 20, 400))
    assert error(float(counted(values).range("mse", 4))) <= 1.02 * best


def test_entropy_leaves_out_a_single_outlier_and_keeps_uniform_values() -> None:
    assert counted(heavy_tailed()).range("entropy", 8) < 20
    even = np.linspace(-1, 1, 100_001).astype(np.float32)
    assert counted(even).range("entropy", 8) > 0.95


def test_zeros_do_not_narrow_the_range_of_entropy() -> None:
    """After a ReLU and in silence most magnitudes are almost 0. They once made ranges 32 times too small."""
    values = heavy_tailed()
    assert counted(values, np.zeros(10**7, np.float32)).range("entropy", 8) >= counted(values).range("entropy", 8)


def test_sixteen_bits_leave_almost_nothing_out() -> None:
    values = heavy_tailed()
    assert counted(values).range("mse", 16) > 90


@pytest.mark.parametrize("rule", RANGE_RULES)
def test_ranges_stay_within_what_the_engine_accepts(rule: str) -> None:
    assert counted(np.zeros(10, np.float32)).range(rule, 8) == 1
    assert counted(np.full(10, 2.0**-100, np.float32)).range(rule, 8) == LEAST_RANGE
    assert counted(np.full(10, 2.0**60, np.float32)).range(rule, 8) == LARGEST_RANGE


def test_an_unknown_rule_is_refused() -> None:
    message = "ranges is 'max', wanted minmax, percentile, mse, entropy, or None: by each frame"
    with pytest.raises(QuantizationError, match=re.escape(message)):
        Magnitudes().range("max", 8)


def test_held_out_frames_are_not_counted() -> None:
    values = np.array([[1.0], [9.0], [2.0]], np.float32)
    segment = Segment((values, -2 * values), (), np.array([1, 0, 1], np.float32))
    assert [one.largest for one in magnitudes([segment, segment])] == [2.0, 4.0]
