"""Reductions, softmax and layer normalization, against float64."""

import numpy as np
import pytest
from tidegate.runtime.operators import LayerNorm, Reduce, Softmax
from tidegate.runtime.operators.over_features import REDUCTIONS, log_softmax, softmax

X = np.random.default_rng(0).normal(0, 3, 37).astype(np.float32)
EXACT = X.astype(np.float64)
WANTED = {
    "sum": EXACT.sum(),
    "mean": EXACT.mean(),
    "max": EXACT.max(),
    "min": EXACT.min(),
    "sum_square": (EXACT**2).sum(),
    "l2": np.linalg.norm(EXACT),
}


@pytest.mark.parametrize("function", REDUCTIONS)
def test_a_reduction_gives_one_feature(function: str) -> None:
    op = Reduce((0,), function)
    (found,) = op.step((), X)[0]
    assert op.width([37]) == 1
    assert found == pytest.approx(WANTED[function], rel=1e-6)


def test_softmax_sums_to_one_and_its_logarithm_agrees() -> None:
    assert softmax(X).sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(np.exp(log_softmax(X)), softmax(X), rtol=1e-5)


def test_softmax_of_large_values_stays_finite() -> None:
    found = Softmax((0,), "softmax").step((), np.array([2.0**60, 0, -(2.0**60)], np.float32))[0]
    assert found.tolist() == [1, 0, 0]


def test_layer_norm_has_the_mean_of_its_bias_and_the_deviation_of_its_scale() -> None:
    scale, bias = np.full(37, 2, np.float32), np.full(37, 5, np.float32)
    found = LayerNorm((0,), scale, bias, 1e-5).step((), X)[0]
    assert found.mean() == pytest.approx(5, abs=1e-5)
    assert found.std() == pytest.approx(2, rel=1e-4)
