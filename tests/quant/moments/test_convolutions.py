"""Convolutions inside a frame run again: the taps of each answer, and gradients that equal differences of answers."""

from dataclasses import replace

import numpy as np
import pytest
from tidegate.quant.moments.convolutions import replay_convolution
from tidegate.runtime.arrays import Floats
from tidegate.runtime.operators import Convolution, Geometry
from tidegate.runtime.operators.matrix import FLOAT, Matrix, Reading

GEOMETRY = Geometry((2, 6), (2, 3), stride=(1, 2), before=(1, 1), answers=(2, 3))
CHANNELS, OUTPUTS, FRAMES = 2, 3, 4


def convolution(*, answers_first: bool) -> Convolution:
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.5, (OUTPUTS, CHANNELS * 6)).astype(np.float32)
    matrix = Matrix(weights, np.ones((OUTPUTS, 1), np.float32), Reading.FRAME, 16, FLOAT)
    return Convolution((0,), matrix, rng.normal(0, 1, OUTPUTS).astype(np.float32), GEOMETRY, answers_first)


def signal() -> Floats:
    return np.random.default_rng(1).standard_normal((FRAMES, 2, CHANNELS * 12)).astype(np.float32)


def answers(op: Convolution, x: Floats) -> Floats:
    return np.stack([np.stack([op.step((), one)[0] for one in frames]) for frames in x])


@pytest.mark.parametrize("answers_first", [False, True])
def test_the_inputs_times_the_weights_are_the_answers(*, answers_first: bool) -> None:
    op, x = convolution(answers_first=answers_first), signal()
    reads = replay_convolution(op, x).reads["w"]
    assert reads.shape == (FRAMES, 2 * 6, CHANNELS * 6)
    each = (reads @ op.w.codes.T + op.bias).reshape(FRAMES, 2, 6, OUTPUTS)
    wanted = answers(op, x).reshape(FRAMES, 2, *((6, OUTPUTS) if answers_first else (OUTPUTS, 6)))
    np.testing.assert_allclose(each, wanted if answers_first else np.swapaxes(wanted, 2, 3), atol=1e-5)


@pytest.mark.parametrize("answers_first", [False, True])
def test_gradients_of_the_sums_are_the_slopes_of_the_answers(*, answers_first: bool) -> None:
    op, x = convolution(answers_first=answers_first), signal()
    grad = np.random.default_rng(2).choice(np.array([-1, 1], np.float32), answers(op, x).shape)
    into, (of_sum,) = replay_convolution(op, x).back(grad)
    assert into.shape == x.shape
    for output in range(OUTPUTS):
        bias = op.bias.copy()
        bias[output] += 0.5
        moved = answers(replace(op, bias=bias), x) - answers(op, x)
        assert float(of_sum[..., output].sum()) == pytest.approx(2 * float(np.sum(moved * grad)), abs=1e-3)


def test_each_answer_counts_if_its_frame_counts() -> None:
    made = replay_convolution(convolution(answers_first=True), signal())
    frames = np.zeros((FRAMES, 2), np.bool_)
    frames[2, 1] = True
    assert np.argwhere(made.counted(frames)).tolist() == [[2, 6 + answer] for answer in range(6)]
