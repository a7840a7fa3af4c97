"""The base of all operators: advance is step frame by frame, and float operators flush tiny values."""

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.operators import Map
from tidegate.runtime.program import Reading
from tools.random_layers import lstm

FRAMES = list(np.random.default_rng(1).normal(0, 1, (5, 3)).astype(np.float32))


def test_advance_is_step_after_step() -> None:
    op = lstm(np.random.default_rng(0), 0, (3, 4), Reading.FRAME, 16)
    made, after = op.advance(op.initial(), [FRAMES], closing=False)
    state = op.initial()
    for x, y in zip(FRAMES, made, strict=True):
        wanted, state = op.step(state, x)
        np.testing.assert_array_equal(y, wanted)
    for seen, wanted in zip(after, state, strict=True):
        np.testing.assert_array_equal(seen, wanted)


def test_tiny_values_count_as_zero_before_and_after_a_float_operator() -> None:
    tiny = np.array([1e-30, -1e-30, 1e-40], np.float32)
    assert Map((0,), "exp").step((), tiny)[0].tolist() == [1, 1, 1]
    assert Map((0,), "square").step((), np.array([1e-15], np.float32))[0].tolist() == [0]


@pytest.mark.parametrize("value", [0.0, 1e-25])
def test_a_result_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(ChunkError, match=r"not finite or leaves 2\^64; chunk refused, state unchanged"):
        Map((0,), "reciprocal").step((), np.array([value], np.float32))
