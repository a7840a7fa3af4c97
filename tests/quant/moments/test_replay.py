"""Operators run again: the inputs of their matrices, and gradients that equal differences of the engine's answers."""

from dataclasses import replace

import numpy as np
import pytest
from tidegate.quant.moments.replay import lstm_cells, replay
from tidegate.quant.moments.sums import RESET_H, sums_of
from tidegate.quant.observing.calibration_streams import Streams
from tidegate.quant.observing.judge import answers
from tidegate.runtime.arrays import Floats
from tidegate.runtime.operators import Linear, Lstm
from tidegate.runtime.program import Program
from tidegate.runtime.reference import ReferenceStream
from tools.float_programs import FEATURES, HIDDEN, KINDS, PROJECTED, layer_and_head, observed, streams
from tools.streams import contract_of

STEP = np.float32(1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_sums_are_the_slopes_of_the_answers(kind: str) -> None:
    """The effect of a sum's bias on the output over all frames: by backpropagation, and by changing the bias."""
    program, found = layer_and_head(kind), streams(30)
    (segment,) = observed(program, found)
    signs = np.random.default_rng(8).choice(np.array([-1, 1], np.float32), segment.values[2].shape)
    head = program.ops[1]
    assert isinstance(head, Linear)
    x, y = segment.values[0][:, None], segment.values[1][:, None]
    starts = tuple(start[None] for start in segment.starts[0])
    into, grads = replay(program.ops[0], x, y, starts).back((signs @ head.w.codes)[:, None])
    assert into.shape == x.shape
    for one, grad in zip(sums_of(program.ops[0]), grads, strict=True):
        for row in range(one.bias_channels.start or 0, one.bias_channels.stop if one.bias else 0):
            sides = [_loss(program, (one.bias, row, sign * STEP), found, signs) for sign in (1, -1)]
            slope = (sides[0] - sides[1]) / (2 * float(STEP))
            seen = float(grad[:, 0, row - (one.bias_channels.start or 0)].sum())
            assert abs(seen - slope) <= 0.02 * abs(slope) + 0.02  # seen: 0.004 of the slope


def _loss(program: Program, moved: tuple[str, int, np.float32], found: Streams, signs: Floats) -> float:
    bias, row, step = moved
    values = getattr(program.ops[0], bias).copy()
    values[row] += step
    changed = replace(program, ops=(replace(program.ops[0], **{bias: values}), program.ops[1]))
    (answer,) = answers(changed, contract_of(program), found.frames)
    return float(np.sum(answer["y"].astype(np.float64) * signs))


@pytest.mark.parametrize("kind", KINDS)
def test_matrices_read_x_and_the_h_of_the_frame_before(kind: str) -> None:
    program = layer_and_head(kind)
    (segment,) = observed(program, streams(30))
    x, h = segment.values[0], segment.values[1][:, : PROJECTED if kind.startswith("projected") else HIDDEN]
    start = np.full_like(h[:1], 0.5)
    starts = (start, np.zeros((1, HIDDEN), np.float32))
    reads = replay(program.ops[0], x[:, None], segment.values[1][:, None], starts).reads
    more = {"p"} if kind.startswith("projected") else {RESET_H} if kind.startswith("reset first") else set()
    assert set(reads) == {"w", "r"} | more
    np.testing.assert_array_equal(reads["w"][:, 0], x)
    np.testing.assert_array_equal(reads["r"][:, 0], np.concatenate([start, h[:-1]]))


def test_the_input_of_a_projection_times_its_weights_is_h() -> None:
    program = layer_and_head("projected")
    (segment,) = observed(program, streams(30))
    starts = tuple(start[None] for start in segment.starts[0])
    reads = replay(program.ops[0], segment.values[0][:, None], segment.values[1][:, None], starts).reads
    weights = program.ops[0].p.codes  # type: ignore[attr-defined]
    assert reads["p"].shape == (30, 1, HIDDEN)
    assert weights.shape == (PROJECTED, HIDDEN)
    np.testing.assert_allclose(reads["p"][:, 0] @ weights.T, segment.values[1], atol=1e-5)


def test_a_linear_layer_reads_its_input_and_sends_gradients_back_by_its_weights() -> None:
    head = layer_and_head("lstm").ops[1]
    assert isinstance(head, Linear)
    x = np.random.default_rng(0).standard_normal((7, 2, HIDDEN), np.float32)
    made = replay(head, x, x @ head.w.codes.T, ())
    grad = np.ones((7, 2, 2), np.float32)
    into, (of_sum,) = made.back(grad)
    np.testing.assert_allclose(into, np.broadcast_to(head.w.codes.sum(0), x.shape), rtol=1e-5)
    np.testing.assert_array_equal(of_sum, grad)
    assert made.reads["w"] is x


@pytest.mark.parametrize("kind", ["lstm", "peepholes", "coupled"])
def test_cells_of_an_lstm_are_those_of_the_specification(kind: str) -> None:
    program = layer_and_head(kind)
    op = program.ops[0]
    assert isinstance(op, Lstm)
    frames = streams(40).frames[0]
    reference, h, c = ReferenceStream(program), [np.zeros(HIDDEN, np.float32)], []
    for frame in frames:
        reference.push(frame[None])
        states = reference.states()
        h.append(np.asarray(states[0]).copy())
        c.append(np.asarray(states[1]).copy())
    before = np.stack(h[:-1])[:, None]
    cells = lstm_cells(op, frames[:, None], before, np.zeros((1, HIDDEN), np.float32))
    assert frames.shape == (40, FEATURES)
    np.testing.assert_allclose(cells[:, 0], np.stack(c), atol=1e-5)
