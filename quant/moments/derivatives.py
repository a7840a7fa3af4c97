"""Backpropagation through the engine's operators without weights: from the output's gradient to the inputs'.

Arrays are `[frames, segments, width]`.
"""

import math
from collections.abc import Callable

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.operators import (
    Binary,
    Concat,
    Constant,
    Elementwise,
    LayerNorm,
    Map,
    Operator,
    Reduce,
    Slice,
    Softmax,
    Static,
    Window,
)

Inputs = tuple[Floats, ...]


def _gelu(x: Array, y: Array) -> Array:
    """Return the normal distribution function of x, which is y / x, plus x times the density."""
    density = np.exp(-0.5 * np.minimum(x * x, 160)) / math.sqrt(2 * math.pi)
    below: Array = np.where(x == 0, 0.5, y / np.where(x == 0, 1, x))
    slope: Array = below + x * density
    return slope


MAPS: dict[str, Callable[..., Array]] = {  # dy/dx, from x, y and the function's numbers
    "relu": lambda x, _: x > 0,
    "leaky_relu": lambda x, _, slope: np.where(x < 0, slope, 1),
    "tanh": lambda _, y: 1 - y * y,
    "sigmoid": lambda _, y: y * (1 - y),
    "hard_sigmoid": lambda _, y, slope, __: np.where((y > 0) & (y < 1), slope, 0),
    "erf": lambda x, _: 2 / math.sqrt(math.pi) * np.exp(-np.minimum(x * x, 80)),
    "gelu": _gelu,
    "gelu_tanh": _gelu,
    "sqrt": lambda _, y: 0.5 / y,
    "abs": lambda x, _: np.sign(x),
    "neg": lambda x, _: np.full_like(x, -1),
    "exp": lambda _, y: y,
    "log": lambda x, _: 1 / x,
    "reciprocal": lambda _, y: -y * y,
    "square": lambda x, _: 2 * x,
    "elu": lambda x, y, alpha: np.where(x > 0, 1, y + alpha),
    "softplus": lambda _, y: 1 - np.exp(-y),
    "power": lambda x, y, exponent: exponent * y / x,
}
CONSTANTS: dict[str, Callable[[Array, Array, Array], Array]] = {  # dy/dx, from x, y and the constant
    "add": lambda x, _, __: np.ones_like(x),
    "sub": lambda x, _, __: np.ones_like(x),
    "mul": lambda x, _, constant: np.broadcast_to(constant, x.shape),
    "div": lambda x, _, constant: np.broadcast_to(1 / constant, x.shape),
    "from": lambda x, _, __: np.full_like(x, -1),
    "into": lambda x, y, _: -y / x,
    "max": lambda x, _, constant: x > constant,
    "min": lambda x, _, constant: x < constant,
    "prelu": lambda x, _, slope: np.where(x < 0, slope, 1),
}
BINARIES: dict[str, Callable[[Array, Array, Array], tuple[Array, Array]]] = {  # dy/da and dy/db, from a, b and y
    "add": lambda _, __, y: (np.ones_like(y), np.ones_like(y)),
    "sub": lambda _, __, y: (np.ones_like(y), np.full_like(y, -1)),
    "mul": lambda a, b, _: (b, a),
    "div": lambda _, b, y: (1 / b, -y / b),
    "max": lambda a, b, _: (a > b, a <= b),
    "min": lambda a, b, _: (a < b, a >= b),
}
REDUCTIONS: dict[str, Callable[[Array, Array], Array]] = {  # dy/dx, from x and y
    "sum": lambda x, _: np.ones_like(x),
    "mean": lambda x, _: np.full_like(x, 1 / x.shape[-1]),
    "max": lambda x, y: x == y,
    "min": lambda x, y: x == y,
    "sum_square": lambda x, _: 2 * x,
    "l2": lambda x, y: x / y,
}


def back_through(op: Operator, x: Inputs, y: Floats, grad: Floats) -> Inputs:
    """Return the gradient of each input of an operator without weights.

    Args:
        op: The operator.
        x: Its inputs.
        y: Its output.
        grad: The gradient of y.
    """
    with np.errstate(all="ignore"):  # the gradient at a pole counts as 0
        grads = BACKWARD[type(op)](op, x, y, grad)
    return tuple(np.nan_to_num(g, nan=0, posinf=0, neginf=0).astype(np.float32) for g in grads)


def _map(op: Map, x: Inputs, y: Floats, grad: Floats) -> Inputs:
    slope: Array = MAPS[op.function](x[0], y, *op.numbers)
    return (grad * slope,)


def _elementwise(op: Elementwise, x: Inputs, y: Floats, grad: Floats) -> Inputs:
    return (grad * CONSTANTS[op.function](x[0], y, op.constant),)


def _binary(op: Binary, x: Inputs, y: Floats, grad: Floats) -> Inputs:
    whole = [grad * slope for slope in BINARIES[op.function](x[0], x[1], y)]
    return tuple(g.sum(-1, keepdims=True) if v.shape[-1] < g.shape[-1] else g for v, g in zip(x, whole, strict=True))


def _reduce(op: Reduce, x: Inputs, y: Floats, grad: Floats) -> Inputs:
    return (grad * REDUCTIONS[op.function](x[0], y),)


def _softmax(op: Softmax, _: Inputs, y: Floats, grad: Floats) -> Inputs:
    if op.function == "softmax":
        return (y * (grad - np.sum(grad * y, -1, keepdims=True)),)
    return (grad - np.exp(y) * np.sum(grad, -1, keepdims=True),)


def _layer_norm(op: LayerNorm, x: Inputs, _: Floats, grad: Floats) -> Inputs:
    d = x[0] - x[0].mean(-1, keepdims=True)
    deviation = np.sqrt(np.mean(d * d, -1, keepdims=True) + op.epsilon)
    normal, scaled = d / deviation, grad * op.scale
    along = normal * np.mean(scaled * normal, -1, keepdims=True)
    return ((scaled - scaled.mean(-1, keepdims=True) - along) / deviation,)


def _slice(op: Slice, x: Inputs, _: Floats, grad: Floats) -> Inputs:
    found = np.zeros_like(x[0])
    found[..., op.start :: op.stride][..., : op.count] = grad
    return (found,)


def _concat(_: Concat, x: Inputs, __: Floats, grad: Floats) -> Inputs:
    width = x[0].shape[-1]
    return grad[..., :width], grad[..., width:]


def _steady(_: Constant | Static, x: Inputs, __: Floats, ___: Floats) -> Inputs:
    return (np.zeros_like(x[0]),)


def _window(op: Window, x: Inputs, _: Floats, grad: Floats) -> Inputs:
    found, taps = np.zeros_like(x[0]), grad.reshape(*grad.shape[:2], op.channels, op.kernel)
    for tap in range(op.kernel):
        delay = (op.kernel - 1 - tap) * op.dilation
        later = taps[delay:, :, :, tap]
        found[: len(later)] += later
    return (found,)


BACKWARD: dict[type[Operator], Callable[..., Inputs]] = {
    Map: _map,
    Elementwise: _elementwise,
    Binary: _binary,
    Reduce: _reduce,
    Softmax: _softmax,
    LayerNorm: _layer_norm,
    Slice: _slice,
    Concat: _concat,
    Window: _window,
    Constant: _steady,
    Static: _steady,
}
