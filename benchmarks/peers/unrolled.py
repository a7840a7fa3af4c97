"""The equations of the cells, for peers that are fastest with every step unrolled, and for NumPy by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .job import CannotRunError, Floats, Job

Values = Any  # an array or tensor of the peer's library
CELLS = ("LSTM", "GRU", "RNN")
MOST_CELLS = 64  # a longer unrolled graph takes minutes to convert


@dataclass(frozen=True)
class Functions:
    """The functions of a library that the equations need.

    Attributes:
        sigmoid: Applies the sigmoid to every value.
        tanh: Applies tanh to every value.
        split: Splits values into a number of equal parts along the features.
    """

    sigmoid: Callable[[Values], Values]
    tanh: Callable[[Values], Values]
    split: Callable[[Values, int], Sequence[Values]]


@dataclass(frozen=True)
class UnrolledLayer:
    """The weights of a layer in PyTorch's layout, with the two biases summed if the equations allow it.

    Attributes:
        w: `[gates hidden, features]`.
        r: `[gates hidden, hidden]`.
        bias_w: `[gates hidden]`.
        bias_r: `[gates hidden]`; None if it is included in bias_w.
    """

    w: Floats
    r: Floats
    bias_w: Floats
    bias_r: Floats | None


def layers_of(job: Job) -> list[UnrolledLayer]:
    """Return the layers of a stack. A GRU keeps its two biases apart, because its n gate needs the second one."""
    cell, layers = cell_of(job), []
    for w, r, bias_w, bias_r in job.weights(*CELLS):
        apart = cell == "GRU"
        layers.append(UnrolledLayer(w, r, bias_w if apart else bias_w + bias_r, bias_r if apart else None))
    return layers


def cell_of(job: Job) -> str:
    """Return the cell of a job that is a stack.

    Raises:
        CannotRunError: The job is not a stack.
    """
    job.weights(*CELLS)
    assert job.stack is not None  # noqa: S101  it has weights
    return job.stack.cell


def refuse_long(job: Job) -> None:
    """Refuse a stack whose unrolled graph would take minutes to convert.

    Raises:
        CannotRunError: The unrolled graph would have more than MOST_CELLS cells.
    """
    layers = len(layers_of(job))
    if job.steps * layers > MOST_CELLS:
        raise CannotRunError(f"{job.steps} frames times {layers} layers is more than {MOST_CELLS} cells to unroll")


def states_of(cell: str) -> int:
    """Return the number of states of a layer: two for an LSTM (h, c), else one (h)."""
    return 2 if cell == "LSTM" else 1


def advance(of: Functions, cell: str, x: Values, h: Values, states: Sequence[Values]) -> list[Values]:
    """Return the next states of a layer, h first, by PyTorch's equations.

    Args:
        of: The library's functions.
        cell: One of CELLS.
        x: The product of the gates' weights with the layer's input, including the bias.
        h: The product of the gates' recurrent weights with h.
        states: The states before the step: h, and for an LSTM c.
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
    """Return the top layer's answer to each frame, and the last states of all layers.

    Args:
        of: The library's functions.
        cell: One of CELLS.
        frames: The input frames.
        states: The states of all layers before the first frame, bottom layer first.
        products: For each layer two functions, which multiply the gates' weights with the input and with h.
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
    """Return the zero states of all layers, each float32 `[*shape, units]`."""
    assert job.stack is not None  # noqa: S101  callers have its layers
    count = states_of(job.stack.cell) * job.stack.layers
    return [np.zeros((*shape, job.stack.hidden), np.float32) for _ in range(count)]
