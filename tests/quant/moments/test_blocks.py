"""Backward layers run again: what their matrices read, and gradients that equal differences of the answers."""

import numpy as np
import pytest
from tidegate.quant.moments.blocks import replay_backward
from tidegate.quant.moments.sums import sums_of
from tidegate.quant.observing.layers import changed, layer_of
from tidegate.runtime.arrays import Floats
from tidegate.runtime.contract import Blocks
from tidegate.runtime.operators import Backward, Cell
from tools.float_programs import FEATURES, KINDS, layer

STEP = np.float32(1e-3)  # a larger step crosses the kinks of relu
GRIDS = [Blocks(None, 0, 4096), Blocks(4, 0), Blocks(4, 3), Blocks(5, 20)]
LENGTHS = [11, 7]


def backward(kind: str, blocks: Blocks) -> Backward:
    cell = layer(kind)
    assert isinstance(cell, Cell)
    return Backward((0,), cell, blocks)


def signal(length: int) -> Floats:
    return np.random.default_rng(length).standard_normal((length, FEATURES)).astype(np.float32)


def stacked() -> Floats:
    x = np.zeros((max(LENGTHS), len(LENGTHS), FEATURES), np.float32)
    for place, length in enumerate(LENGTHS):
        x[:length, place] = signal(length)
    return x


def answers(op: Backward, length: int) -> Floats:
    """Return the specification's answers to a whole stream."""
    made, state = op.advance(op.initial(), [list(signal(length))], closing=False)
    rest, _ = op.advance(state, [[]], closing=True)
    return np.stack([*made, *rest])


@pytest.mark.parametrize("blocks", GRIDS)
def test_matrices_read_the_frames_of_a_block_from_its_end(blocks: Blocks) -> None:
    made = replay_backward(backward("gru", blocks), stacked(), LENGTHS)
    assert made.places is not None
    flat = stacked().reshape(-1, FEATURES)
    np.testing.assert_array_equal(made.reads["w"][made.places >= 0], flat[made.places[made.places >= 0]])
    size, column = blocks.frames or max(LENGTHS), 0
    for segment, length in enumerate(LENGTHS):
        for first in range(0, length, size):
            own = made.places[:, column][made.places[:, column] >= 0]
            last = min(first + size + blocks.lookahead, length)
            np.testing.assert_array_equal(own, np.arange(first, last)[::-1] * len(LENGTHS) + segment)
            np.testing.assert_array_equal(made.reads["r"][0, column], 0)
            column += 1
    assert column == made.places.shape[1]


def test_frames_count_wherever_they_are_read() -> None:
    made = replay_backward(backward("gru", Blocks(4, 2)), stacked(), LENGTHS)
    frames = np.zeros((max(LENGTHS), len(LENGTHS)), np.bool_)
    frames[4, 0] = True  # read by its own block and as lookahead of the block before
    counted = made.counted(frames)
    assert counted.sum() == 2
    np.testing.assert_array_equal(made.reads["w"][counted], [signal(11)[4]] * 2)


@pytest.mark.parametrize("blocks", GRIDS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_slopes_of_the_answers(kind: str, blocks: Blocks) -> None:
    """The effect of a sum's bias, and of the input, on the answers: by backpropagation, and by changing them."""
    op, x = backward(kind, blocks), stacked()
    wanted = [answers(op, length) for length in LENGTHS]
    grad = np.zeros((*x.shape[:2], wanted[0].shape[1]), np.float32)
    for place, made in enumerate(wanted):
        grad[: len(made), place] = np.random.default_rng(place).choice([-1, 1], made.shape)

    def loss(one: Backward) -> float:
        every = [answers(one, length).astype(np.float64) for length in LENGTHS]
        return float(sum(np.sum(made * grad[: len(made), place]) for place, made in enumerate(every)))

    into, grads = replay_backward(op, x, LENGTHS).back(grad)
    assert into.shape == x.shape
    for one, of_sum in zip(sums_of(op), grads, strict=True):
        if not one.bias:
            continue
        for row in range(one.bias_channels.start, one.bias_channels.stop):
            sides = []
            for sign in (1, -1):
                bias = getattr(layer_of(op), one.bias).copy()
                bias[row] += sign * STEP
                sides.append(loss(changed(op, {one.bias: bias})))  # type: ignore[arg-type]
            slope = (sides[0] - sides[1]) / (2 * float(STEP))
            seen = float(of_sum[..., row - one.bias_channels.start].sum())
            assert abs(seen - slope) <= 0.02 * abs(slope) + 0.02


@pytest.mark.parametrize("blocks", GRIDS)
def test_the_gradient_of_a_frame_comes_from_each_block_that_reads_it(blocks: Blocks) -> None:
    op, x = backward("tanh", blocks), stacked()
    grad = np.ones((*x.shape[:2], op.width([FEATURES])), np.float32)
    into, _ = replay_backward(op, x, LENGTHS).back(grad)
    for frame in (0, 4, 6):
        sides = []
        for sign in (1, -1):
            moved = signal(7)
            moved[frame] += sign * STEP
            made, state = op.advance(op.initial(), [list(moved)], closing=False)
            rest, _ = op.advance(state, [[]], closing=True)
            sides.append(float(np.sum(np.stack([*made, *rest]), dtype=np.float64)))
        slope = (sides[0] - sides[1]) / (2 * float(STEP))
        assert abs(float(into[frame, 1].sum()) - slope) <= 0.02 * abs(slope) + 0.02
    np.testing.assert_array_equal(into[7:, 1], 0)
