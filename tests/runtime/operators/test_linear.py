"""A linear layer."""

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.operators import Linear
from tidegate.runtime.program import Reading
from tools.random_layers import matrix

WEIGHTS = matrix(np.random.default_rng(0), 4, 5, Reading.FRAME, 16)
BIAS = np.arange(4, dtype=np.float32)


def test_the_answer_is_near_the_float_product_and_a_silent_frame_gives_the_bias() -> None:
    op = Linear((0,), WEIGHTS, BIAS)
    x = np.random.default_rng(1).normal(0, 1, 5).astype(np.float32)
    weights = WEIGHTS.codes * WEIGHTS.scales
    np.testing.assert_allclose(op.step((), x)[0], weights @ x + BIAS, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(op.step((), np.zeros(5, np.float32))[0], BIAS)


def test_there_is_one_feature_per_output_channel() -> None:
    assert Linear((0,), WEIGHTS, BIAS).width([5]) == 4


def test_an_answer_out_of_range_is_refused() -> None:
    with pytest.raises(ChunkError, match=r"leaves 2\^64"):
        Linear((0,), WEIGHTS, np.full(4, np.inf, np.float32)).step((), np.zeros(5, np.float32))
