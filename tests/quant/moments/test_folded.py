"""Folded layers run again: their steps and rows are steps and streams of the layer."""

from dataclasses import replace

import numpy as np
import pytest
from tidegate.quant.moments.folded import replay_folded
from tidegate.quant.moments.sums import sums_of
from tidegate.quant.observing.layers import changed, layer_of
from tidegate.runtime.arrays import Floats
from tidegate.runtime.operators import Cell, Folded
from tools.float_programs import FEATURES, KINDS, layer

STEP = np.float32(1e-3)
COUNT, SEGMENTS, STEPS, ROWS = 4, 2, 3, 2


def folded(kind: str, *, carried: bool) -> Folded:
    cell = layer(kind)
    assert isinstance(cell, Cell)
    return Folded((0,), replace(cell, inputs=(0,)), STEPS, ROWS, carried)


def signal() -> Floats:
    shape = (COUNT, SEGMENTS, STEPS * ROWS * FEATURES)
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def starts(op: Folded) -> tuple[Floats, ...]:
    """Return a state of each segment, not zeros."""
    shapes = [(SEGMENTS, vector.size) for vector in op.initial()]
    return tuple(np.full(shape, 0.25, np.float32) for shape in shapes)


def answers(op: Folded, x: Floats) -> Floats:
    """Return the specification's answers, `[frames, segments, width]`."""
    made = []
    for segment in range(SEGMENTS):
        state = tuple(vector[segment] for vector in starts(op))
        made.append(np.stack(op.advance(state, [list(x[:, segment])], closing=False)[0]))
    return np.stack(made, 1)


@pytest.mark.parametrize("carried", [True, False])
def test_a_frame_counts_at_each_of_its_steps_and_rows(carried: bool) -> None:
    op, x = folded("gru", carried=carried), signal()
    made = replay_folded(op, x, answers(op, x), starts(op))
    frames = np.zeros((COUNT, SEGMENTS), np.bool_)
    frames[2, 1] = True
    read = made.reads["w"][made.counted(frames)]
    wanted = x[2, 1].reshape(STEPS * ROWS, FEATURES)
    np.testing.assert_array_equal(sorted(read.tolist()), sorted(wanted.tolist()))


@pytest.mark.parametrize("carried", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_slopes_of_the_answers(kind: str, carried: bool) -> None:
    op, x = folded(kind, carried=carried), signal()
    wanted = answers(op, x)
    grad = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), wanted.shape)

    def loss(one: Folded, read: Floats) -> float:
        return float(np.sum(answers(one, read).astype(np.float64) * grad))

    into, grads = replay_folded(op, x, wanted, starts(op)).back(grad)
    for at in ((0, 0, 1), (1, 1, -1), (3, 0, 7)):
        sides = []
        for sign in (1, -1):
            moved = x.copy()
            moved[at] += sign * STEP
            sides.append(loss(op, moved))
        slope = (sides[0] - sides[1]) / (2 * float(STEP))
        assert abs(float(into[at]) - slope) <= 0.02 * abs(slope) + 0.02
    for one, of_sum in zip(sums_of(op), grads, strict=True):
        if not one.bias:
            continue
        row, sides = one.bias_channels.start, []
        for sign in (1, -1):
            bias = getattr(layer_of(op), one.bias).copy()
            bias[row] += sign * STEP
            sides.append(loss(changed(op, {one.bias: bias}), x))  # type: ignore[arg-type]
        slope = (sides[0] - sides[1]) / (2 * float(STEP))
        assert abs(float(of_sum[..., 0].sum()) - slope) <= 0.02 * abs(slope) + 0.02
