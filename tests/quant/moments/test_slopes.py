"""The slopes of activation functions against differences of their values in float64."""

import numpy as np
import pytest
from tidegate.quant.moments.slopes import SLOPES, slope_of
from tidegate.runtime.cells import ACTIVATIONS, Activation
from tidegate.runtime.operators.activations import activate

STEP = 2.0**-8
X = (np.arange(-6, 6, 0.25) + 0.1).astype(np.float32)  # at no kink


def test_each_activation_has_a_slope() -> None:
    assert list(SLOPES) == list(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_slope_is_the_difference_of_values(name: str) -> None:
    function = Activation(name, *(0.5, 0.25)[: len(ACTIVATIONS[name][0])])
    sides = [activate(function, X + np.float32(sign * STEP)).astype(np.float64) for sign in (1, -1)]
    seen = slope_of(function, X, activate(function, X))
    np.testing.assert_allclose(seen, (sides[0] - sides[1]) / (2 * STEP), atol=2e-4)


def test_a_scaled_tanh_of_zero_has_no_slope() -> None:
    function = Activation("ScaledTanh", 0.0, 1.0)
    np.testing.assert_array_equal(slope_of(function, X, activate(function, X)), np.zeros_like(X))
