"""Moments of what sums read, and the gradients that weigh them: against the engine's own answers."""

from dataclasses import replace

import numpy as np
import pytest
from tidegate.quant.moments.moments import BY_ROW, METHODS, Moments, gather, has_small_sums
from tidegate.quant.moments.replay import replay
from tidegate.quant.moments.sums import sums_of
from tidegate.quant.observing.calibration_streams import Streams
from tidegate.quant.observing.judge import answers
from tidegate.quant.observing.observation import Segment, every_frame, observe
from tidegate.runtime.arrays import Floats
from tidegate.runtime.operators import Last, Linear, Operator
from tidegate.runtime.operators.matrix import FLOAT, Reading
from tidegate.runtime.program import Program
from tools.random_layers import cell, lstm_projected, matrix
from tools.streams import contract_of

FEATURES, HIDDEN = 3, 5
KINDS = ["lstm", "gru", "tanh", "relu", "projected"]
STEP = np.float32(1e-2)


def layer(kind: str) -> Operator:
    rng, weights = np.random.default_rng(5), (FLOAT, 0)
    if kind == "projected":
        return lstm_projected(rng, 0, (FEATURES, HIDDEN, 4), Reading.FRAME, 16, weights=weights)
    return cell(rng, 0, (FEATURES, HIDDEN), Reading.FRAME, 16, kind=kind, weights=weights)


def two_layers(kind: str) -> Program:
    first = layer(kind)
    width = first.width([FEATURES])
    head = matrix(np.random.default_rng(6), 2, width, Reading.FRAME, 16, weights=(FLOAT, 0))
    return Program(FEATURES, (first, Linear((1,), head, np.zeros(2, np.float32))), (("y", 2),))


def streams(*lengths: int) -> Streams:
    rng = np.random.default_rng(7)
    frames = tuple(rng.standard_normal((length, FEATURES), np.float32) for length in lengths)
    return Streams(frames, tuple(np.arange(length) % 7 == 3 for length in lengths), complete=True)


def observed(program: Program, found: Streams) -> list[Segment]:
    return observe(program, contract_of(program), found, lambda _: None)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_sums_are_the_slopes_of_the_answers(kind: str) -> None:
    """What a sum's bias does to the output, over all frames: by going back, and by trying it out."""
    program, found = two_layers(kind), streams(30)
    (segment,) = observed(program, found)
    signs = np.random.default_rng(8).choice(np.array([-1, 1], np.float32), segment.values[2].shape)
    head = program.ops[1]
    assert isinstance(head, Linear)
    x, y = segment.values[0][:, None], segment.values[1][:, None]
    starts = tuple(start[None] for start in segment.starts[0])
    into, grads = replay(program.ops[0], x, y, starts).back((signs @ head.w.codes)[:, None])
    assert into.shape == x.shape
    for one, grad in zip(sums_of(program.ops[0]), grads, strict=True):
        for row in range(one.bias_rows.start or 0, one.bias_rows.stop if one.bias else 0):
            sides = [_loss(program, (one.bias, row, sign * STEP), found, signs) for sign in (1, -1)]
            slope = (sides[0] - sides[1]) / (2 * float(STEP))
            seen = float(grad[:, 0, row - (one.bias_rows.start or 0)].sum())
            assert abs(seen - slope) <= 0.02 * abs(slope) + 0.02  # seen: 0.004 of it


def _loss(program: Program, moved: tuple[str, int, np.float32], found: Streams, signs: Floats) -> float:
    bias, row, step = moved
    values = getattr(program.ops[0], bias).copy()
    values[row] += step
    changed = replace(program, ops=(replace(program.ops[0], **{bias: values}), program.ops[1]))
    (answer,) = answers(changed, contract_of(program), found.frames)
    return float(np.sum(answer["y"].astype(np.float64) * signs))


def read_by_sum(segments: list[Segment]) -> Floats:
    """Return [x_t, h_{t-1}] of the frames that count, of a first layer that is no LSTM with projection."""
    rows = []
    for segment in segments:
        before = np.concatenate([segment.starts[0][0][None], segment.values[1][:-1]])
        rows.append(np.concatenate([segment.values[0], before], 1)[segment.used > 0])
    return np.concatenate(rows)


@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh"])
def test_moments_are_those_of_frames_and_states_met_while_streaming(kind: str) -> None:
    """Of streams longer than a segment, of unlike lengths, without what is held out."""
    program = two_layers(kind)
    segments = observed(program, streams(1500, 40, 300))
    z = read_by_sum(segments).astype(np.float64)
    assert len(z) == sum(int(np.sum(np.arange(length) % 7 != 3)) for length in (1500, 40, 300))
    moments = gather(program, segments, [1.0], ["compensated"], lambda _: None)["compensated"]
    np.testing.assert_allclose(moments[0, 0].mean[0], z.mean(0), atol=1e-5)
    np.testing.assert_allclose(moments[0, 0].covariance[0], np.cov(z.T, bias=True), atol=1e-5)
    np.testing.assert_allclose(moments[0, 0].second[0], z.T @ z / len(z), atol=1e-5)


def test_frames_without_gradient_do_not_count_when_guided() -> None:
    """A gate that is shut while x is loud: only the quiet frames are heard."""
    program, found = two_layers("tanh"), streams(400)
    loud = np.arange(400) % 2 == 0
    frames = found.frames[0] * np.where(loud, np.float32(100), np.float32(0.1))[:, None]
    segments = observed(program, replace(found, frames=(frames,)))
    made = gather(program, segments, [1.0], METHODS, lambda _: None)
    plain, guided = (np.trace(made[method][0, 0].covariance[0][:FEATURES, :FEATURES]) for method in METHODS[:2])
    print(f"variance of x as the sum hears it: {plain:.3g}, guided {guided:.3g}")
    assert guided < 0.05 * plain


def test_each_row_of_a_small_sum_has_moments_of_its_own() -> None:
    program = two_layers("lstm")
    assert has_small_sums(program)
    made = gather(program, observed(program, streams(200)), [1.0], METHODS, lambda _: None)
    shapes = {method: made[method][0, 0].covariance.shape for method in METHODS}
    inputs = FEATURES + HIDDEN
    assert shapes == {
        "compensated": (1, inputs, inputs),
        "guided": (1, inputs, inputs),
        BY_ROW: (HIDDEN, inputs, inputs),
    }
    for moments in (m for method in METHODS for m in made[method].values()):
        assert_moments(moments)


def assert_moments(moments: Moments) -> None:
    np.testing.assert_allclose(moments.covariance, np.swapaxes(moments.covariance, 1, 2), atol=1e-12)
    assert np.all(np.linalg.eigvalsh(moments.covariance) > -1e-6)


def test_the_last_frame_of_a_push_stands_for_every_frame() -> None:
    program = two_layers("lstm")
    last = Last((1,))
    head = replace(program.ops[1], inputs=(2,))
    whole = Program(FEATURES, (program.ops[0], last, head), (("y", 3),))
    segments = observed(every_frame(whole), streams(60))
    np.testing.assert_array_equal(segments[0].values[3], observed(program, streams(60))[0].values[2])
