"""Compensated rounding: codes in range, and never worse than the nearest codes by e^T H e."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.quant.rounding.compensated import damped, descend, elimination, error_of, in_order, nearest_codes
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import QuantizationError

LARGEST = {4: 7, 8: 127, 16: 32767}


def problem(seed: int, channels: int, inputs: int, *, by_channel: bool, bits: int) -> tuple[Array, Array, Array, Array]:
    """Return weights, damped moments of dependent inputs with very different sizes, steps and largest codes."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(channels if by_channel else 1, inputs, inputs)) * 10.0 ** rng.uniform(-4, 1, inputs)
    second = damped(np.swapaxes(mixing, 1, 2) @ mixing, [inputs // 2, inputs - inputs // 2], 1e-2)
    weights = rng.normal(size=(channels, inputs))
    steps = np.abs(weights).max(1, keepdims=True) / LARGEST[bits] * np.ones((1, inputs))
    return weights, second, steps, np.full(inputs, float(LARGEST[bits]))


@settings(max_examples=50)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(2, 90), st.booleans(), st.sampled_from([4, 8, 16])
)  # some have more inputs than a block
def test_codes_are_whole_and_in_range_and_descent_only_helps(
    seed: int, channels: int, inputs: int, by_channel: bool, bits: int
) -> None:
    weights, second, steps, largest = problem(seed, channels, inputs, by_channel=by_channel, bits=bits)
    for start in (nearest_codes(weights, steps, largest), in_order(weights, elimination(second), steps, largest)):
        codes = descend(weights, second, steps, largest, start)
        for found in (start, codes):
            assert np.array_equal(found, np.rint(found))
            assert np.all(np.abs(found) <= largest)
        before, after = (error_of(weights - found * steps, second) for found in (start, codes))
        assert np.all(after <= before * (1 + 1e-9))


def test_the_codes_of_equal_inputs_make_up_for_each_other() -> None:
    """Two equal inputs have weights of 0.3 steps. The nearest codes 0 and 0 err by 0.6; the codes 0 and 1 by 0.4."""
    second = damped(np.ones((1, 2, 2)), [2], 1e-3)
    weights, steps, largest = np.array([[0.3, 0.3]]), np.ones((1, 2)), np.array([7.0, 7.0])
    assert nearest_codes(weights, steps, largest).tolist() == [[0, 0]]
    assert sorted(in_order(weights, elimination(second), steps, largest)[0].tolist()) == [0, 1]


@pytest.mark.parametrize("by_channel", [False, True])
def test_independent_inputs_are_rounded_to_nearest(by_channel: bool) -> None:
    weights, second, steps, largest = problem(1, 4, 70, by_channel=by_channel, bits=8)
    apart = second * np.eye(70)
    np.testing.assert_array_equal(
        in_order(weights, elimination(apart), steps, largest), nearest_codes(weights, steps, largest)
    )


def test_compensation_errs_much_less_on_dependent_inputs() -> None:
    """Seventy inputs depend on eight signals, much like the units of a layer."""
    weights, _, steps, largest = problem(2, 32, 70, by_channel=False, bits=4)
    moved = np.random.default_rng(2).normal(size=(8, 70))
    second = damped((moved.T @ moved)[None], [70], 1e-2)
    plain = error_of(weights - nearest_codes(weights, steps, largest) * steps, second).sum()
    better = descend(weights, second, steps, largest, in_order(weights, elimination(second), steps, largest))
    found = error_of(weights - better * steps, second).sum() / plain
    print(f"error of compensated rounding over that of nearest: {found:.3f}")
    assert found < 0.3


def test_moments_that_rounding_made_indefinite_are_damped_further() -> None:
    weights, _, steps, largest = problem(3, 2, 6, by_channel=False, bits=8)
    indefinite = np.ones((1, 6, 6)) - 1e-9 * np.eye(6)
    assert np.all(np.abs(in_order(weights, elimination(indefinite), steps, largest)) <= 127)


def test_damping_treats_each_matrix_separately_and_raises_zeros_too() -> None:
    found = damped(np.diag([1.0, 3.0, 100.0])[None], [2, 1], 0.1)
    np.testing.assert_allclose(np.diag(found[0]), [1.2, 3.2, 110.0])
    assert np.all(np.diag(damped(np.zeros((1, 3, 3)), [3], 0.1)[0]) > 0)


def plain_order(weights: Array, second: Array, steps: Array, largest: Array) -> Array:
    """GPTQ as it is published: one channel and one input at a time, each error spread at once."""
    codes = np.empty_like(weights)
    for channel, row in enumerate(weights):
        own = second[channel if len(second) > 1 else 0]
        order = np.argsort(-np.diag(own), kind="stable")
        factor = np.linalg.cholesky(np.linalg.inv(own[np.ix_(order, order)])).T
        left, step = row[order].copy(), steps[channel, order]
        for k, place in enumerate(order):
            codes[channel, place] = np.clip(np.rint(left[k] / step[k]), -largest[place], largest[place])
            left[k + 1 :] -= (left[k] - codes[channel, place] * step[k]) / factor[k, k] * factor[k, k + 1 :]
    return codes


def plain_descent(weights: Array, second: Array, steps: Array, largest: Array, codes: Array) -> Array:
    """Four sweeps of one channel after the other, the gradient computed anew for each code."""
    codes = codes.copy()
    for channel in range(len(weights)):
        own = second[channel if len(second) > 1 else 0]
        for k in list(range(weights.shape[1])) * 4:
            gradient = (weights[channel] - codes[channel] * steps[channel]) @ own[:, k]
            wanted = np.rint(codes[channel, k] + gradient / (own[k, k] * steps[channel, k]))
            codes[channel, k] = np.clip(wanted, -largest[k], largest[k])
    return codes


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("inputs", [7, 64, 65, 130])
def test_blocks_and_all_channels_at_once_give_the_codes_of_the_plain_methods(by_channel: bool, inputs: int) -> None:
    weights, second, steps, largest = problem(5, 3, inputs, by_channel=by_channel, bits=4)
    steps = steps * np.random.default_rng(5).uniform(0.5, 1.5, steps.shape)  # as of groups
    largest = np.where(np.arange(inputs) % 3, 7.0, 2.0)
    codes = in_order(weights, elimination(second), steps, largest)
    np.testing.assert_array_equal(codes, plain_order(weights, second, steps, largest))
    start = nearest_codes(weights, steps, largest)
    kept = start.copy()
    found = descend(weights, second, steps, largest, start)
    np.testing.assert_array_equal(found, plain_descent(weights, second, steps, largest, start))
    np.testing.assert_array_equal(start, kept)  # the codes that were given stay


def test_the_error_is_that_of_each_channel_under_its_own_moments() -> None:
    rng = np.random.default_rng(6)
    difference, second = rng.normal(size=(3, 4)), rng.normal(size=(3, 4, 4))
    by_channel = [row @ own @ row for row, own in zip(difference, second, strict=True)]
    np.testing.assert_allclose(error_of(difference, second), by_channel)
    np.testing.assert_allclose(error_of(difference, second[:1]), [row @ second[0] @ row for row in difference])


def test_damping_is_for_each_cluster_and_copies_its_moments() -> None:
    second = np.stack([np.diag([1.0, 3.0, 100.0]), np.diag([0.0, 0.0, 10.0])])
    kept = second.copy()
    found = damped(second, [2, 1], 0.1)
    np.testing.assert_array_equal(second, kept)
    least = 1e-6 * 10 / 3  # a matrix without energy is raised by a millionth of the mean of all
    np.testing.assert_allclose(np.einsum("cii->ci", found), [[1.2, 3.2, 110.0], [least, least, 11.0]])
    assert np.all(found * (1 - np.eye(3)) == 0)
    three = damped(np.diag([1.0, 10.0, 100.0])[None], [1, 1, 1], 0.1)
    np.testing.assert_allclose(np.diag(three[0]), [1.1, 11.0, 110.0])
    tiny = np.finfo(np.float32).tiny
    np.testing.assert_array_equal(np.diag(damped(np.zeros((1, 2, 2)), [2], 0.1)[0]), [tiny, tiny])


def test_moments_that_no_float_can_compare_are_refused() -> None:
    weights, _, steps, largest = problem(3, 2, 6, by_channel=False, bits=8)
    said = (
        "the values of the model grow on the calibration streams, beyond what float64 can compare; give shorter "
        "streams, or quantize without calibration"
    )
    with pytest.raises(QuantizationError) as caught:
        in_order(weights, elimination(np.full((1, 6, 6), -1.0)), steps, largest)
    assert str(caught.value) == said


def test_moments_that_have_no_factor_are_damped_by_the_least_that_helps() -> None:
    weights, _, steps, largest = problem(3, 8, 6, by_channel=False, bits=8)
    size = np.arange(1.0, 7)
    apart = np.outer(size, size)[None] - 5e-3 * np.eye(6)
    codes = in_order(weights, elimination(apart), steps, largest)
    np.testing.assert_array_equal(codes, in_order(weights, elimination(damped(apart, [6], 1e-3)), steps, largest))
    assert not np.array_equal(codes, in_order(weights, elimination(damped(apart, [6], 1e-2)), steps, largest))
