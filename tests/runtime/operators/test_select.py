"""Selecting and joining features and frames."""

import numpy as np
from tidegate.runtime.operators import Concat, Last, LastCell, Slice

FRAMES = list(np.arange(12, dtype=np.float32).reshape(2, 6))


def test_last_gives_the_last_frame_of_a_push_and_nothing_for_an_empty_one() -> None:
    op = Last((0,))
    np.testing.assert_array_equal(op.advance((), [FRAMES], closing=False)[0], FRAMES[-1:])
    assert len(op.advance((), [[]], closing=True)[0]) == 0


def test_last_cell_is_the_c_of_its_layer_and_nothing_for_an_empty_push() -> None:
    op, state = LastCell((1,), 3), (np.zeros(2, np.float32), np.arange(3, dtype=np.float32))
    assert op.width([6, 2]) == 3
    assert [frame.tolist() for frame in op.advance(state, [FRAMES], closing=False)[0]] == [[0, 1, 2]]
    assert op.advance(state, [[]], closing=True) == ([], ())
    assert op.step(state, FRAMES[0])[0] is state[1]


def test_slice_takes_every_stride_th_feature() -> None:
    op = Slice((0,), 1, 2, 3)
    assert op.width([6]) == 2
    assert op.step((), FRAMES[0])[0].tolist() == [1, 4]


def test_concat_has_the_features_of_the_first_input_first() -> None:
    op = Concat((0, 1))
    assert op.width([6, 2]) == 8
    assert op.step((), FRAMES[0], np.array([8, 9], np.float32))[0].tolist() == [0, 1, 2, 3, 4, 5, 8, 9]
