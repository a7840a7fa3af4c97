"""The activation functions of cells with options, against float64."""

from collections.abc import Callable

import numpy as np
import pytest
from tidegate.runtime.arrays import Array
from tidegate.runtime.cells import ACTIVATIONS, Activation
from tidegate.runtime.operators.activations import FORMULAS, activate, number_of

A, B = 0.5, 0.25
X = np.linspace(-12, 12, 4001).astype(np.float32)
WANTED: dict[str, Callable[[Array], Array]] = {
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "HardSigmoid": lambda x: np.clip(A * x + B, 0, 1),
    "Tanh": np.tanh,
    "Softsign": lambda x: x / (1 + abs(x)),
    "Relu": lambda x: np.maximum(x, 0),
    "LeakyRelu": lambda x: np.where(x < 0, A * x, x),
    "ThresholdedRelu": lambda x: np.where(x > A, x, 0),
    "Elu": lambda x: np.where(x > 0, x, A * np.expm1(np.minimum(x, 0))),
    "Softplus": lambda x: np.log1p(np.exp(x)),
    "Affine": lambda x: A * x + B,
    "ScaledTanh": lambda x: A * np.tanh(B * x),
}


def of(name: str) -> Activation:
    return Activation(name, *(A, B)[: len(ACTIVATIONS[name][0])])


def test_each_activation_has_a_formula_in_the_order_of_a_plan() -> None:
    assert list(FORMULAS) == list(ACTIVATIONS) == list(WANTED)
    assert [number_of(of(name)) for name in ACTIVATIONS] == list(range(1, len(ACTIVATIONS) + 1))


@pytest.mark.parametrize("name", WANTED)
def test_a_function_is_that_of_onnx(name: str) -> None:
    wanted = WANTED[name](X.astype(np.float64))
    error = float(np.max(np.abs(activate(of(name), X) - wanted) / np.maximum(np.abs(wanted), 1)))
    print(f"{name}: largest error {error:.1e}, allowed 5e-7")
    assert error <= 5e-7


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_are_where_the_table_says(name: str) -> None:
    values = activate(of(name), np.concatenate([X, X * np.float32(1e6)]))
    for bound, least in ((1, -1), (2, 0)):
        inside = bool(np.all((values >= least) & (values <= 1)))
        assert inside or not of(name).is_within(bound)


def test_a_clip_limits_what_a_function_takes() -> None:
    np.testing.assert_array_equal(activate(of("Relu"), X, 2.0), np.clip(X, 0, 2))
