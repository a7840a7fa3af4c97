"""Backpropagation through the engine's operators without weights: from the output's gradient to the inputs'.

Arrays are `[frames, segments, width]`.
"""

import math
from collections.abc import Callable

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.operators import (
    Align,
    Binary,
    BlockStart,
    Concat,
    Constant,
    Convolution,
    Depthwise,
    Elementwise,
    Fourier,
    Geometry,
    LayerNorm,
    Map,
    Operator,
    Reduce,
    Slice,
    Softmax,
    Static,
    Take,
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


def _in_parts(x: Floats, part: int) -> Floats:
    """Return frames cut into parts, `[frames, segments, parts, features]`."""
    return x.reshape(*x.shape[:2], -1, part or x.shape[-1])


def _reduce(op: Reduce, x: Inputs, y: Floats, grad: Floats) -> Inputs:
    slope = REDUCTIONS[op.function](_in_parts(x[0], op.part), y[..., None])
    return ((grad[..., None] * slope).reshape(x[0].shape),)


def _softmax(op: Softmax, x: Inputs, y: Floats, grad: Floats) -> Inputs:
    made, into = _in_parts(y, op.part), _in_parts(grad, op.part)
    if op.function == "softmax":
        found = made * (into - np.sum(into * made, -1, keepdims=True))
    else:
        found = into - np.exp(made) * np.sum(into, -1, keepdims=True)
    return (found.reshape(x[0].shape),)


def _layer_norm(op: LayerNorm, x: Inputs, _: Floats, grad: Floats) -> Inputs:
    parts, scaled = _in_parts(x[0], op.part), _in_parts(grad * op.scale, op.part)
    d = parts - parts.mean(-1, keepdims=True)
    deviation = np.sqrt(np.mean(d * d, -1, keepdims=True) + op.epsilon)
    normal = d / deviation
    along = normal * np.mean(scaled * normal, -1, keepdims=True)
    return (((scaled - scaled.mean(-1, keepdims=True) - along) / deviation).reshape(x[0].shape),)


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
    found, groups = np.zeros_like(x[0]), op.channels // op.together
    taps = grad.reshape(*grad.shape[:2], groups, op.kernel, op.together)
    for tap in range(op.kernel):
        delay = (op.kernel - 1 - tap) * op.dilation - op.lookahead
        later = taps[max(delay, 0) : len(taps) + min(delay, 0), :, :, tap]
        found[max(-delay, 0) :][: len(later)] += later.reshape(*later.shape[:2], op.channels)
    return (found,)


def _align(_: Align, x: Inputs, __: Floats, grad: Floats) -> Inputs:
    return np.zeros_like(x[0]), grad


def _block_start(op: BlockStart, x: Inputs, _: Floats, grad: Floats) -> Inputs:
    found, block = np.zeros_like(x[0]), op.blocks.frames or len(grad)
    for first in range(0, len(grad), block):
        found[first] = grad[first : first + block].sum(0)
    return (found,)


def _scattered(grad: Floats, places: Array, width: int) -> Floats:
    """Return the sum of gradients `[..., places]` at each of `width` places; those at -1 are left out."""
    found = np.zeros((width + 1, *grad.shape[:-1]), np.float32)
    np.add.at(found, places, np.moveaxis(grad, -1, 0))
    return np.moveaxis(found[:-1], 0, -1)


def _take(op: Take, x: Inputs, _: Floats, grad: Floats) -> Inputs:
    each = op.places[:, None] + np.arange(op.run)
    return (_scattered(grad, np.where(op.places[:, None] < 0, -1, each).ravel(), x[0].shape[-1]),)


def _fourier(op: Fourier, x: Inputs, _: Floats, grad: Floats) -> Inputs:
    bins, length = grad.shape[-1] // 2, op.roots.shape[1]
    waves: Floats = np.fft.ifft(grad[..., :bins] + 1j * grad[..., bins:], length, norm="forward").real.astype(
        np.float32
    )
    return (waves[..., op.start : op.start + x[0].shape[-1]] * op.window,)


def _to_frame(geometry: Geometry, x: Floats, taps: Floats) -> Floats:
    """Return the gradient of a frame from those of its taps, `[frames, segments, channels, answers, taps]`."""
    flat = taps.reshape(*taps.shape[:3], -1)
    return _scattered(flat, geometry.places.ravel(), geometry.size[0] * geometry.size[1]).reshape(x.shape)


def _convolution(op: Convolution, x: Inputs, _: Floats, grad: Floats) -> Inputs:
    answers, taps = op.geometry.places.shape
    shape = (answers, -1) if op.answers_first else (-1, answers)
    by_answer = grad.reshape(*grad.shape[:2], *shape)
    by_answer = by_answer if op.answers_first else np.swapaxes(by_answer, -1, -2)
    reads = (by_answer @ op.w.codes).reshape(*by_answer.shape[:3], -1, taps)
    return (_to_frame(op.geometry, x[0], np.swapaxes(reads, 2, 3)),)


def _depthwise(op: Depthwise, x: Inputs, _: Floats, grad: Floats) -> Inputs:
    (answers, taps), outputs = op.geometry.places.shape, len(op.weights)
    reads = grad.reshape(*grad.shape[:2], outputs, answers, 1) * op.weights[:, None]
    channels = x[0].shape[-1] // (op.geometry.size[0] * op.geometry.size[1])
    by_channel = reads.reshape(*grad.shape[:2], channels, -1, answers, taps).sum(3)
    return (_to_frame(op.geometry, x[0], by_channel),)


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
    Take: _take,
    Convolution: _convolution,
    Depthwise: _depthwise,
    Fourier: _fourier,
    Constant: _steady,
    Static: _steady,
    Align: _align,
    BlockStart: _block_start,
}
