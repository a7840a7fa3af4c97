"""Cells in float64 by their formulas: the original's answers without the original's code."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def sigmoid(x: Doubles) -> Doubles:
    """Return the logistic function of each value."""
    return np.asarray(1 / (1 + np.exp(-x)))


def relu(x: Doubles) -> Doubles:
    """Return the positive values; 0 for the others."""
    return np.maximum(x, 0)


def lstm(x: Doubles, w: Doubles, r: Doubles, b: Doubles, *, h: Doubles, c: Doubles) -> Doubles:
    """Return h of each frame of an LSTM whose gates are in torch's order.

    Args:
        x: Frames `[frames, inputs]`.
        w: Weights of the input `[4 * units, inputs]`: input, forget, cell, output.
        r: Weights of h `[4 * units, units]`.
        b: The sum of both biases `[4 * units]`.
        h: The first h `[units]`.
        c: The first c `[units]`.
    """

    def steps() -> Iterator[Doubles]:
        hidden, cell = h, c
        for frame in x @ w.T + b:
            i, f, g, o = np.split(frame + r @ hidden, 4)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            hidden = sigmoid(o) * np.tanh(cell)
            yield hidden

    return np.array(list(steps()))


def gru(x: Doubles, w: Doubles, r: Doubles, b_w: Doubles, b_r: Doubles, *, h: Doubles) -> Doubles:
    """Return h of each frame of a GRU in torch's form: gates reset, update, new; the reset gate acts on a product.

    Args:
        x: Frames `[frames, inputs]`.
        w: Weights of the input `[3 * units, inputs]`.
        r: Weights of h `[3 * units, units]`.
        b_w: Biases of the input `[3 * units]`.
        b_r: Biases of h `[3 * units]`.
        h: The first h `[units]`.
    """

    def steps() -> Iterator[Doubles]:
        hidden = h
        for frame in x @ w.T + b_w:
            (reset, update, new), (r_h, u_h, n_h) = np.split(frame, 3), np.split(r @ hidden + b_r, 3)
            z = sigmoid(update + u_h)
            hidden = (1 - z) * np.tanh(new + sigmoid(reset + r_h) * n_h) + z * hidden
            yield hidden

    return np.array(list(steps()))


def early_gru(x: Doubles, w: Doubles, r: Doubles, b: Doubles, new: Callable[[Doubles], Doubles]) -> Doubles:
    """Return h of each frame of a GRU whose reset gate acts on h, ahead of the product; gates: update, reset, new.

    Args:
        x: Frames `[frames, inputs]`.
        w: Weights of the input `[3 * units, inputs]`.
        r: Weights of h `[3 * units, units]`.
        b: Biases `[3 * units]`.
        new: The function of the new value.
    """

    def steps() -> Iterator[Doubles]:
        r_update, r_reset, r_new = np.split(r, 3)
        hidden = np.zeros(r.shape[1])
        for frame in x @ w.T + b:
            update, reset, fresh = np.split(frame, 3)
            z = sigmoid(update + r_update @ hidden)
            fresh = new(fresh + r_new @ (sigmoid(reset + r_reset @ hidden) * hidden))
            hidden = z * hidden + (1 - z) * fresh
            yield hidden

    return np.array(list(steps()))
