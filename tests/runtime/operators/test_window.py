"""The taps of a convolution along time."""

import numpy as np
import pytest
from tidegate.runtime.arrays import Floats
from tidegate.runtime.operators import Window

FRAMES = np.arange(1, 15, dtype=np.float32).reshape(7, 2)


def stream(op: Window, *pushes: Floats) -> list[Floats]:
    """Return the frames of a whole stream, with an end after the last push."""
    state, found = op.initial(), list[Floats]()
    for frames in pushes:
        made, state = op.advance(state, [list(frames)], closing=False)
        found += made
    return [*found, *op.advance(state, [[]], closing=True)[0]]


def wanted(kernel: int, dilation: int, lookahead: int) -> Floats:
    """Return the taps by padding the whole signal with zeros."""
    reach = (kernel - 1) * dilation
    padded = np.concatenate([np.zeros((reach - lookahead, 2)), FRAMES, np.zeros((lookahead, 2))])
    taps = [padded[k * dilation : k * dilation + len(FRAMES)] for k in range(kernel)]
    return np.stack(taps, -1).reshape(len(FRAMES), -1).astype(np.float32)


@pytest.mark.parametrize(("kernel", "dilation", "lookahead"), [(3, 1, 0), (3, 2, 0), (3, 2, 2), (2, 1, 1), (4, 1, 3)])
def test_taps_are_those_of_the_padded_signal_however_it_is_cut(kernel: int, dilation: int, lookahead: int) -> None:
    op = Window((0,), kernel, dilation, 2, lookahead=lookahead)
    for cut in range(len(FRAMES)):
        np.testing.assert_array_equal(stream(op, FRAMES[:cut], FRAMES[cut:]), wanted(kernel, dilation, lookahead))


def test_a_window_that_looks_ahead_is_late_by_as_many_frames() -> None:
    op = Window((0,), 3, 1, 2, lookahead=2)
    made, _ = op.advance(op.initial(), [list(FRAMES)], closing=False)
    assert len(made) == len(FRAMES) - 2
