"""The same vector for each frame."""

import numpy as np
from tidegate.runtime.operators import Constant, Slot, Static

FRAMES = list(np.arange(6, dtype=np.float32).reshape(2, 3))


def test_a_constant_comes_for_each_frame() -> None:
    op = Constant((0,), np.array([4, 5], np.float32))
    assert op.width([3]) == 2
    assert [frame.tolist() for frame in op.advance((), [FRAMES], closing=False)[0]] == [[4, 5], [4, 5]]
    assert op.advance((), [[]], closing=True) == ([], ())


def test_a_static_input_comes_for_each_frame_and_stays() -> None:
    op, state = Static((0,), Slot("speaker", 0), 2), (np.array([4, 5], np.float32),)
    assert op.slots == (Slot("speaker", 0),)
    assert [vector.tolist() for vector in op.initial()] == [[0, 0]]
    made, after = op.advance(state, [FRAMES], closing=False)
    assert [frame.tolist() for frame in made] == [[4, 5], [4, 5]]
    assert after is state
