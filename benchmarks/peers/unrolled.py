"""The equations of a cell: for runtimes that do best with every step written out, and for NumPy by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .job import CannotRunError, Floats, Job

Values = Any  # an array or tensor of the library at hand
CELLS = ("LSTM", "GRU", "RNN")
MOST_CELLS = 64  # a longer unrolled graph takes minutes to convert


@dataclass(frozen=True)
class Functions:
    """What the equations need of a library.

    Attributes:
        sigmoid: Of every value.
        tanh: Of every value.
        split: Cuts values into so many equal parts along the features.
    """

    sigmoid: Callable[[Values], Values]
    tanh: Callable[[Values], Values]
    split: Callable[[Values, int], Sequence[Values]]


@dataclass(frozen=True)
class UnrolledLayer:
    """Weights of a layer in PyTorch's layout, its two biases summed where the equations allow it.

    Attributes:
        w: `[gates hidden, features]`.
        r: `[gates hidden, hidden]`.
        bias_w: `[gates hidden]`.
        bias_r: `[gates hidden]`; None where it is in bias_w.
    """

    w: Floats
    r: Floats
    bias_w: Floats
    bias_r: Floats | None


def layers_of(job: Job) -> list[UnrolledLayer]:
    """Return the layers of a stack of any cell; a GRU's n gate needs its recurrent bias apart."""
    cell, layers = cell_of(job), []
    for w, r, bias_w, bias_r in job.weights(*CELLS):
        apart = cell == "GRU"
        layers.append(UnrolledLayer(w, r, bias_w if apart else bias_w + bias_r, bias_r if apart else None))
    return layers


def cell_of(job: Job) -> str:
    """Return the cell of a job that is a stack."""
    job.weights(*CELLS)
    assert job.stack is not None  # noqa: S101  it has weights
    return job.stack.cell


def refuse_long(job: Job) -> None:
    """Refuse a stack whose unrolled graph would take minutes to convert."""
    layers = len(layers_of(job))
    if job.steps * layers > MOST_CELLS:
        raise CannotRunError(f"{job.steps} frames of {layers} layers unrolled are more than {MOST_CELLS} cells")


def states_of(cell: str) -> int:
    """Return how many states a layer carries: h, and c of an LSTM."""
    return 2 if cell == "LSTM" else 1


def advance(of: Functions, cell: str, x: Values, h: Values, states: Sequence[Values]) -> list[Values]:
    """Return the next states of a layer, h first (PyTorch's equations).

    Args:
        of: The library's functions.
        cell: One of CELLS.
        x: The gates' sums over the layer's input, bias included.
        h: The gates' sums over h.
        states: h, and c of an LSTM.
    """
    if cell == "RNN":
        return [of.tanh(x + h)]
    if cell == "GRU":
        (r_x, z_x, n_x), (r_h, z_h, n_h) = of.split(x, 3), of.split(h, 3)
        n = of.tanh(n_x + of.sigmoid(r_x + r_h) * n_h)
        return [n + of.sigmoid(z_x + z_h) * (states[0] - n)]
    i, f, g, o = of.split(x + h, 4)
    c = of.sigmoid(f) * states[1] + of.sigmoid(i) * of.tanh(g)
    return [of.sigmoid(o) * of.tanh(c), c]


def unroll(
    of: Functions,
    cell: str,
    frames: Sequence[Values],
    states: Sequence[Values],
    products: Sequence[tuple[Callable[[Values], Values], Callable[[Values], Values]]],
) -> tuple[list[Values], list[Values]]:
    """Return the answers of the top layer to each frame, and the last states of all.

    Args:
        of: The library's functions.
        cell: One of CELLS.
        frames: What comes in.
        states: Of all layers, bottom first.
        products: Of each layer, what takes its input to the gates' sums, and what takes h.
    """
    sequence, count = list(frames), states_of(cell)
    finals: list[Values] = []
    for n, (from_x, from_h) in enumerate(products):
        carried, following = list(states[count * n : count * (n + 1)]), []
        for frame in sequence:
            carried = advance(of, cell, from_x(frame), from_h(carried[0]), carried)
            following.append(carried[0])
        sequence, finals = following, [*finals, *carried]
    return sequence, finals


def zeros(job: Job, *shape: int) -> list[Floats]:
    """Return the states of all layers at the start, each of a shape with the units last."""
    assert job.stack is not None  # noqa: S101  callers have its layers
    count = states_of(job.stack.cell) * job.stack.layers
    return [np.zeros((*shape, job.stack.hidden), np.float32) for _ in range(count)]
