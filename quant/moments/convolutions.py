"""A convolution inside a frame, run again on observed values: each of its answers is a product with its own inputs."""

import numpy as np

from ...runtime.arrays import Floats
from ...runtime.operators import Convolution
from .derivatives import back_through
from .replay import Replay


def replay_convolution(op: Convolution, x: Floats) -> Replay:
    """Run a convolution again.

    Args:
        op: The convolution. Its matrix is float.
        x: Its input, `[frames, segments, width]`.

    Returns:
        The replay. Its values are `[frames, segments times answers, width]`.
    """
    count, segments = x.shape[:2]
    answers, outputs = len(op.geometry.places), len(op.w.codes)
    frame = x.reshape(count, segments, -1, op.geometry.size[0] * op.geometry.size[1])
    padded = np.concatenate([frame, np.zeros((*frame.shape[:-1], 1), np.float32)], -1)  # the place of taps outside
    taps = np.moveaxis(padded[..., op.geometry.places], 2, 3)
    places = np.repeat(np.arange(count * segments).reshape(count, segments), answers, 1)

    def back(grad: Floats) -> tuple[Floats, list[Floats]]:
        (into,) = back_through(op, (x,), grad, grad)
        shape = (answers, outputs) if op.answers_first else (outputs, answers)
        each = grad.reshape(count, segments, *shape)
        each = each if op.answers_first else np.swapaxes(each, 2, 3)
        return into, [each.reshape(count, segments * answers, outputs)]

    return Replay({"w": taps.reshape(count, segments * answers, -1)}, back, places)
