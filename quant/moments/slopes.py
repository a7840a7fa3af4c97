"""The slopes of the activation functions of recurrent cells."""

from collections.abc import Callable

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.cells import Activation
from ...runtime.operators.numbers.functions import sigmoid

# Each a function of x, of the value y at x, and of alpha and beta.
SLOPES: dict[str, Callable[[Floats, Floats, np.float32, np.float32], Array]] = {
    "Sigmoid": lambda _x, y, _a, _b: y * (1 - y),
    "HardSigmoid": lambda _x, y, a, _b: a * ((y > 0) & (y < 1)),
    "Tanh": lambda _x, y, _a, _b: 1 - y * y,
    "Softsign": lambda x, _y, _a, _b: 1 / np.square(1 + np.abs(x)),
    "Relu": lambda x, _y, _a, _b: x > 0,
    "LeakyRelu": lambda x, _y, a, _b: np.where(x < 0, a, 1),
    "ThresholdedRelu": lambda x, _y, a, _b: x > a,
    "Elu": lambda x, y, a, _b: np.where(x > 0, 1, y + a),
    "Softplus": lambda x, _y, _a, _b: sigmoid(x),
    "Affine": lambda x, _y, a, _b: np.full_like(x, a),
    "ScaledTanh": lambda _x, y, a, b: b * (a - y * y / a) if a else np.zeros_like(y),
}


def slope_of(function: Activation, x: Floats, y: Floats) -> Floats:
    """Return the slope of a function at x, where its value is y; 0 at its kinks or one of both sides."""
    slope = SLOPES[function.name](x, y, np.float32(function.alpha), np.float32(function.beta))
    return np.asarray(slope, np.float32)
