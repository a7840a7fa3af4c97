"""Layers over the steps and the rows of a frame: each row is a stream of its own."""

from dataclasses import replace

import numpy as np
import pytest
from tidegate.runtime.arrays import Floats
from tidegate.runtime.operators import Folded
from tidegate.runtime.program import Reading
from tools.random_layers import lstm

CELL = lstm(np.random.default_rng(0), 0, (3, 4), Reading.FRAME, 16)
FRAMES = np.random.default_rng(1).normal(0, 1, (6, 2, 5, 3)).astype(np.float32)  # [frames, steps, rows, features]


def layer(frames: Floats) -> Floats:
    """Return the cell's answers over some frames, from zeros."""
    return np.stack(CELL.advance(CELL.initial(), [list(frames)], closing=False)[0])


def folded(op: Folded, frames: Floats) -> Floats:
    """Return the answers of a folded layer, `[frames, steps, rows, units]`, in two pushes."""
    flat, state = list(frames.reshape(len(frames), -1)), op.initial()
    made = []
    for part in (flat[:2], flat[2:]):
        answers, state = op.advance(state, [part], closing=False)
        made += list(answers)
    return np.stack(made).reshape(*frames.shape[:3], -1)


def test_each_row_is_a_stream_of_its_own_whose_state_is_carried() -> None:
    made = folded(Folded((0,), CELL, 2, 5, carried=True), FRAMES)
    for row in range(5):
        np.testing.assert_array_equal(made[:, :, row].reshape(12, -1), layer(FRAMES[:, :, row].reshape(12, -1)))


def test_a_layer_inside_a_frame_starts_from_zeros_in_each() -> None:
    made = folded(Folded((0,), CELL, 2, 5, carried=False), FRAMES)
    for number, frame in enumerate(FRAMES):
        for row in range(5):
            np.testing.assert_array_equal(made[number, :, row], layer(frame[:, row]))


def test_its_state_has_the_vectors_of_all_rows_one_after_another() -> None:
    op = Folded((0,), CELL, 1, 5, carried=True)
    assert op.slots == CELL.slots
    assert [vector.shape for vector in op.initial()] == [(20,), (20,)]
    (answer,), state = op.advance(op.initial(), [list(FRAMES[:1, :1].reshape(1, -1))], closing=False)
    np.testing.assert_array_equal(state[0], answer)
    assert replace(op, carried=False).slots == ()
    assert replace(op, carried=False).initial() == ()


@pytest.mark.parametrize("carried", [True, False])
def test_its_record_names_the_cell_and_the_sizes(carried: bool) -> None:
    assert Folded((0,), CELL, 2, 5, carried).record().counts == (1, 2, 5, int(carried))
