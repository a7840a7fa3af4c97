"""The activation functions of recurrent cells with options."""

from collections.abc import Callable

import numpy as np

from ..arrays import Floats
from ..cells import ACTIVATIONS, Activation
from .numbers import functions
from .numbers.functions import ONE

ZERO = np.float32(0)

# Each a function of the value, alpha and beta; every operation is rounded.
FORMULAS: dict[str, Callable[[Floats, np.float32, np.float32], Floats]] = {
    "Sigmoid": lambda x, _a, _b: functions.sigmoid(x),
    "HardSigmoid": lambda x, a, b: np.clip(x * a + b, ZERO, ONE),
    "Tanh": lambda x, _a, _b: functions.tanh(x),
    "Softsign": lambda x, _a, _b: np.divide(x, ONE + np.abs(x)),
    "Relu": lambda x, _a, _b: np.where(x > 0, x, ZERO),
    "LeakyRelu": lambda x, a, _b: np.where(x < 0, x * a, x),
    "ThresholdedRelu": lambda x, a, _b: np.where(x > a, x, ZERO),
    "Elu": lambda x, a, _b: functions.elu(x, float(a)),
    "Softplus": lambda x, _a, _b: functions.softplus(x),
    "Affine": lambda x, a, b: x * a + b,
    "ScaledTanh": lambda x, a, b: a * functions.tanh(x * b),
}


def activate(function: Activation, x: Floats, clip: float = 0.0) -> Floats:
    """Return a function of values; a clip above 0 limits their magnitudes first."""
    inner = np.clip(x, np.float32(-clip), np.float32(clip)) if clip else x
    return FORMULAS[function.name](inner, np.float32(function.alpha), np.float32(function.beta))


def number_of(function: Activation) -> int:
    """Return the number of a function in a plan."""
    return list(ACTIVATIONS).index(function.name) + 1
