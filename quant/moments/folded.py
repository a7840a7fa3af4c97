"""A layer over the steps and rows of a frame, run again on observed values as a layer of more steps or more streams."""

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.operators import Folded
from .replay import Replay, Starts, replay


def replay_folded(op: Folded, x: Floats, y: Floats, starts: Starts) -> Replay:
    """Run a folded layer again.

    Args:
        op: The layer. Its matrices are float.
        x: Its input, `[frames, segments, width]`.
        y: Its output.
        starts: Its states before the first frame, each `[segments, rows times units]`; none if it carries nothing.

    Returns:
        The replay. If the state is carried, its values are `[frames times steps, segments times rows, width]`, else
        `[steps, frames times segments times rows, width]`.
    """
    count, segments = x.shape[:2]
    places = np.arange(count * segments).reshape(count, segments, 1)
    before = tuple(start.reshape(segments * op.rows, -1) for start in starts)
    if not op.carried:
        before = tuple(np.tile(vector, (count * segments * op.rows, 1)) for vector in op.cell.initial())
    made = replay(op.cell, _unfolded(op, x), _unfolded(op, y), before)

    def back(grad: Floats) -> tuple[Floats, list[Floats]]:
        into, sums = made.back(_unfolded(op, grad))
        return _folded(op, into, count, segments), sums

    each = np.repeat(places, op.steps * op.rows, 2)
    return Replay(made.reads, back, _unfolded(op, each)[..., 0])


def _unfolded(op: Folded, values: Array) -> Array:
    """Return values of frames as values of the layer's steps."""
    count, segments = values.shape[:2]
    each = values.reshape(count, segments, op.steps, op.rows, -1)
    if op.carried:
        return each.transpose(0, 2, 1, 3, 4).reshape(count * op.steps, segments * op.rows, -1)
    return each.transpose(2, 0, 1, 3, 4).reshape(op.steps, count * segments * op.rows, -1)


def _folded(op: Folded, values: Floats, count: int, segments: int) -> Floats:
    """Return values of the layer's steps as values of frames."""
    if op.carried:
        each = values.reshape(count, op.steps, segments, op.rows, -1).transpose(0, 2, 1, 3, 4)
    else:
        each = values.reshape(op.steps, count, segments, op.rows, -1).transpose(1, 2, 0, 3, 4)
    return each.reshape(count, segments, -1)
