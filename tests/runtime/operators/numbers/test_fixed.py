"""Fixed point: every function is the rounded exact value, with the bits that the integer operators rely on."""

from fractions import Fraction
from math import floor, tanh

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.runtime.operators.numbers import fixed

exponents = st.integers(fixed.LEAST_EXPONENT, fixed.MOST_EXPONENT)


def nearest(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


@given(st.integers(-fixed.largest(fixed.VALUE_BITS), fixed.largest(fixed.VALUE_BITS)), exponents)
def test_a_code_survives_the_float_between_two_operators(code: int, exponent: int) -> None:
    value = fixed.values(np.array([code]), exponent)
    assert fixed.codes(value, exponent, fixed.VALUE_BITS).tolist() == [code]


@given(st.floats(-1e6, 1e6, width=32), st.integers(-20, 20), st.sampled_from([8, 16, 25]))
def test_codes_are_the_nearest_ones_and_saturate(value: float, exponent: int, bits: int) -> None:
    most = fixed.largest(bits)
    wanted = min(max(nearest(Fraction(value) * Fraction(2) ** exponent), -most), most)
    assert fixed.codes(np.array([value], np.float32), exponent, bits).tolist() == [wanted]


@given(st.integers(-(2**50), 2**50), st.integers(0, 32))
def test_a_shift_rounds_half_up(products: int, shift: int) -> None:
    assert fixed.rounded(np.array([products]), shift).tolist() == [nearest(Fraction(products, 2**shift))]


@given(st.integers(1 - 2**31, 2**31 - 1), st.floats(2.0**-40, 2.0**40, width=32), st.integers(-40, 40))
def test_a_scaled_sum_is_the_rounded_exact_product(total: int, scale: float, exponent: int) -> None:
    wanted = nearest(total * Fraction(scale) * Fraction(2) ** exponent)
    wanted = min(max(wanted, -fixed.MOST_SUM), fixed.MOST_SUM)
    assert fixed.scaled(np.array([total]), np.array([scale], np.float32), exponent).tolist() == [wanted]


@pytest.mark.parametrize("columns", [1, 512, 517, 518, 10_000])
def test_sums_of_the_allowed_bits_fit_in_32_bits_and_one_more_bit_would_not(columns: int) -> None:
    bits = fixed.fixed_bits(columns)
    assert columns * 127 * fixed.largest(bits) <= 2**31 - 1
    assert bits == 16 or columns * 127 * fixed.largest(bits + 1) > 2**31 - 1


def test_the_table_holds_tanh_rounded_to_15_bits() -> None:
    table = fixed.tanh_table()
    wanted = [floor(2**fixed.UNIT * tanh(place / 2**fixed.TABLE_STEP) + 0.5) for place in range(len(table))]
    np.testing.assert_array_equal(table, wanted)


def test_gates_are_within_a_code_of_tanh_and_sigmoid() -> None:
    x = np.arange(-8 << fixed.GATE, 8 << fixed.GATE, 997)
    exact = np.tanh(x / 2**fixed.GATE) * 2**fixed.UNIT
    assert np.abs(fixed.tanh(x) - exact).max() < 1
    assert np.abs(fixed.sigmoid(2 * x) - (exact + 2**fixed.UNIT) / 2).max() < 1
    np.testing.assert_array_equal(fixed.tanh(-x), -fixed.tanh(x))
