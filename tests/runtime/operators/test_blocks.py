"""Operators that answer for several frames together."""

from dataclasses import replace

import numpy as np
import pytest
from tidegate.runtime.arrays import Floats
from tidegate.runtime.contract import Blocks
from tidegate.runtime.operators import Align, Backward, BlockStart, Operator
from tidegate.runtime.program import Reading
from tools.random_layers import lstm

CELL = lstm(np.random.default_rng(0), 0, (3, 4), Reading.FRAME, 16)
FRAMES = list(np.random.default_rng(1).normal(0, 1, (11, 3)).astype(np.float32))


def backward(frames: list[Floats]) -> list[Floats]:
    """Return the cell's answers over some frames from the last to the first."""
    return list(CELL.advance(CELL.initial(), [frames[::-1]], closing=False)[0])[::-1]


def run(op: Operator, *pushes: list[Floats]) -> list[int]:
    """Return the number of frames after each push; the last push ends the stream."""
    state, counts = op.initial(), []
    for place, frames in enumerate(pushes):
        made, state = op.advance(state, [frames], closing=place == len(pushes) - 1)
        counts.append(len(made))
    return counts


def test_a_block_starts_from_zeros_at_the_end_of_its_lookahead() -> None:
    op = Backward((0,), CELL, Blocks(4, 2))
    made, _ = op.advance(op.initial(), [FRAMES], closing=False)
    np.testing.assert_array_equal(made, backward(FRAMES[:6])[:4] + backward(FRAMES[4:10])[:4])


def test_a_block_comes_when_its_lookahead_is_there_however_the_stream_is_cut() -> None:
    op = Backward((0,), CELL, Blocks(4, 2))
    assert run(op, FRAMES[:5], FRAMES[5:6], FRAMES[6:], []) == [0, 4, 4, 3]


def test_the_end_of_a_stream_closes_a_shorter_block_and_lookahead() -> None:
    op = Backward((0,), CELL, Blocks(4, 2))
    made, (waiting,) = op.advance(op.initial(), [FRAMES[:5]], closing=True)
    np.testing.assert_array_equal(made, backward(FRAMES[:5])[:4] + backward(FRAMES[4:5]))
    assert len(waiting) == 0


def test_the_whole_stream_as_one_block_is_the_layer_backward() -> None:
    op = Backward((0,), CELL, Blocks(None, 0, 100))
    assert run(op, FRAMES, []) == [0, 11]
    np.testing.assert_array_equal(op.advance(op.initial(), [FRAMES], closing=True)[0], backward(FRAMES))


def test_align_gives_as_many_frames_as_the_late_input_has() -> None:
    op = Align((0, 1))
    made, state = op.advance(op.initial(), [[], FRAMES[:3]], closing=False)
    assert len(made) == 0
    made, state = op.advance(state, [FRAMES[:2], FRAMES[3:4]], closing=False)
    np.testing.assert_array_equal(made, FRAMES[:2])
    np.testing.assert_array_equal(state, FRAMES[2:4])


def test_block_start_repeats_the_first_frame_of_each_block() -> None:
    op = BlockStart((0,), Blocks(2, 0))
    made, _ = op.advance((), [FRAMES[:5]], closing=True)
    np.testing.assert_array_equal(made, [FRAMES[0], FRAMES[0], FRAMES[2], FRAMES[2], FRAMES[4]])
    made, _ = replace(op, blocks=Blocks(None, 0, 9)).advance((), [FRAMES[:3]], closing=True)
    np.testing.assert_array_equal(made, [FRAMES[0]] * 3)


@pytest.mark.parametrize("op", [Align((0, 1)), BlockStart((0,), Blocks(2, 0)), Backward((0,), CELL, Blocks(2, 0))])
def test_a_late_operator_has_no_step_of_one_frame(op: Operator) -> None:
    with pytest.raises(NotImplementedError):
        op.step(op.initial(), FRAMES[0])
