"""The functions of the specification against float64: their errors are those in their docstrings and in docs/."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.operators.numbers import functions

erf64 = np.vectorize(math.erf, otypes=[np.float64])


def grid(low: float, high: float, count: int = 400_001) -> Floats:
    return np.linspace(low, high, count, dtype=np.float32)


def relative(f: Callable[[Floats], Floats], exact: Callable[[Array], Array], x: Floats) -> float:
    wanted = exact(x.astype(np.float64))
    return float(np.max(np.abs(f(x) - wanted) / np.abs(wanted)))


def absolute(f: Callable[[Floats], Floats], exact: Callable[[Array], Array], x: Floats) -> float:
    return float(np.max(np.abs(f(x) - exact(x.astype(np.float64)))))


def test_exp_is_within_one_unit_in_the_last_place() -> None:
    error = relative(functions.exp, np.exp, grid(-41.5, 44.3))
    print(f"largest relative error of exp: {error:.2e}")
    assert error < 8e-8
    assert functions.exp(np.zeros(1, np.float32)) == 1


def test_exp_leaves_the_range_at_both_ends() -> None:
    low, high = functions.exp(np.array([-42, 45], np.float32))
    assert low < functions.TINY
    assert high > functions.LARGEST
    np.testing.assert_array_equal(functions.exp(np.array([-1e9, 1e9], np.float32)), [low, high])


def test_log_is_within_one_unit_in_the_last_place() -> None:
    powers = (2.0 ** grid(-60, 64)).astype(np.float32)
    near_one = grid(0.5, 2)
    error = relative(functions.log, np.log, powers[powers != 1])
    near = relative(functions.log, np.log, near_one[near_one != 1])
    print(f"largest relative error of log: {error:.2e}, near 1 {near:.2e}")
    assert max(error, near) < 8e-8
    assert functions.log(np.ones(1, np.float32)) == 0


@pytest.mark.parametrize("x", [0.0, -1.0, -1e30])
def test_log_of_what_has_none_is_refused_by_the_range(x: float) -> None:
    assert np.isnan(functions.log(np.array([x], np.float32)))[0]


def test_expm1_keeps_its_digits_near_zero() -> None:
    x = grid(-41.5, 44.3)
    near = grid(-1, 1)
    error = relative(functions.expm1, np.expm1, x[x != 0])
    close = relative(functions.expm1, np.expm1, near[near != 0])
    print(f"largest relative error of expm1: {error:.2e}, near 0 {close:.2e}")
    assert max(error, close) < 1.2e-7


def test_elu_is_its_input_above_zero_and_bounded_below() -> None:
    np.testing.assert_array_equal(
        functions.elu(np.array([3, 0, -1e9], np.float32), 0.5), np.array([3, 0, -0.5], np.float32)
    )


def softplus64(x: Array) -> Array:
    return np.asarray(np.logaddexp(0, x))


def test_softplus_keeps_its_digits_at_both_ends() -> None:
    error = relative(functions.softplus, softplus64, grid(-41, 41))
    print(f"largest relative error of softplus: {error:.2e}")
    assert error < 1.7e-7
    assert functions.softplus(np.array([1e9], np.float32)) == np.float32(1e9)


@pytest.mark.parametrize("exponent", [0.3, 1 / 3, -0.7, 2.2, 12.3])
def test_power_is_as_close_as_its_logarithm_allows(exponent: float) -> None:
    x = (2.0 ** grid(-55, 60)).astype(np.float32)
    size = float(np.float32(exponent)) * np.log(x.astype(np.float64))
    kept = (size > -41) & (size < 44)
    error = (functions.power(x[kept], exponent) / np.exp(size[kept]) - 1) / (1 + np.abs(size[kept]))
    print(f"largest error of power: {np.max(np.abs(error)):.2e}")
    assert np.max(np.abs(error)) < 1.1e-7


def test_power_of_zero_and_of_values_below_it() -> None:
    x = np.array([0, -1, -1e30], np.float32)
    with np.errstate(invalid="ignore"):
        up, down = functions.power(x, 0.3), functions.power(x, -0.3)
    assert up[0] == 0
    assert np.all(np.isnan([*up[1:], *down]))


def test_erf_is_close_and_saturates_exactly() -> None:
    error = absolute(functions.erf, erf64, grid(-5, 5))
    print(f"largest error of erf: {error:.2e}")
    assert error < 4.3e-7
    assert functions.erf(np.array([4, 1e9], np.float32)).tolist() == [1, 1]
    small = functions.erf(np.array([1e-6], np.float32))[0]
    assert abs(small / math.erf(1e-6) - 1) < 1e-6


def gelu64(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + erf64(x / math.sqrt(2))))


def gelu_tanh64(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


@pytest.mark.parametrize(
    ("function", "exact"), [(functions.gelu, gelu64), (functions.gelu_tanh, gelu_tanh64)], ids=["erf", "tanh"]
)
def test_gelu_is_close(function: Callable[[Floats], Floats], exact: Callable[[Array], Array]) -> None:
    error = absolute(function, exact, grid(-10, 10))
    print(f"largest error of gelu: {error:.2e}")
    assert error < 1.4e-6
    np.testing.assert_array_equal(function(np.array([-1e9, 0, 1e9], np.float32)), np.array([0, 0, 1e9], np.float32))


@pytest.mark.parametrize("size", [1, 7, 8, 9, 100, 1000])
def test_tree_sum_takes_every_value_once(size: int) -> None:
    x = np.arange(1, size + 1, dtype=np.float32)
    assert functions.tree_sum(x) == size * (size + 1) / 2


def test_tree_sum_folds_eight_lanes_by_halves() -> None:
    """A sum whose value depends on the order: only 2^24 + (1 + 1) keeps the ones."""
    x = np.zeros(8, np.float32)
    x[0], x[2], x[6] = 2.0**24, 1, 1
    assert functions.tree_sum(x) == 2.0**24 + 2
    x[6], x[4] = 0, 1
    assert functions.tree_sum(x) == 2.0**24


def test_without_tiny_keeps_nan_for_the_range_check() -> None:
    assert functions.without_tiny(np.array([2.0**-61, -(2.0**-60), 0], np.float32)).tolist() == [0, -(2.0**-60), 0]
    assert np.isnan(functions.without_tiny(np.array([np.nan], np.float32)))[0]
