"""Moments of the inputs of sums: those of the frames and states of streams, weighted by the method."""

from dataclasses import replace

import numpy as np
import pytest
from tidegate.quant.moments.moments import BY_CHANNEL, METHODS, Moments, gather, has_small_sums, stacked
from tidegate.quant.observing.observation import Segment
from tidegate.runtime.arrays import Floats
from tidegate.runtime.operators import Linear
from tidegate.runtime.operators.matrix import Reading
from tidegate.runtime.program import Program
from tools.float_programs import FEATURES, FLOAT_WEIGHTS, HIDDEN, layer_and_head, observed, streams
from tools.random_layers import matrix


def read_by_sum(segments: list[Segment]) -> Floats:
    """Return [x_t, h_{t-1}] of the frames that count, for a first layer without projection."""
    rows = []
    for segment in segments:
        before = np.concatenate([segment.starts[0][0][None], segment.values[1][:-1]])
        rows.append(np.concatenate([segment.values[0], before], 1)[segment.used > 0])
    return np.concatenate(rows)


@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh"])
def test_moments_are_those_of_the_frames_and_states_while_streaming(kind: str) -> None:
    """For streams of several lengths, one longer than a segment, without the held-out frames."""
    program = layer_and_head(kind)
    segments = observed(program, streams(1500, 40, 300))
    z = read_by_sum(segments).astype(np.float64)
    assert len(z) == sum(int(np.sum(np.arange(length) % 7 != 3)) for length in (1500, 40, 300))
    moments = gather(program, segments, [1.0], ["compensated"], lambda _: None)["compensated"]
    np.testing.assert_allclose(moments[0, 0].mean[0], z.mean(0), atol=1e-5)
    np.testing.assert_allclose(moments[0, 0].covariance[0], np.cov(z.T, bias=True), atol=1e-5)
    np.testing.assert_allclose(moments[0, 0].second[0], z.T @ z / len(z), atol=1e-5)


def test_frames_without_gradient_do_not_count_when_guided() -> None:
    """Loud frames saturate the tanh, so their gradient is 0 and only quiet frames count."""
    program, found = layer_and_head("tanh"), streams(400)
    loud = np.arange(400) % 2 == 0
    frames = found.frames[0] * np.where(loud, np.float32(100), np.float32(0.1))[:, None]
    segments = observed(program, replace(found, frames=(frames,)))
    made = gather(program, segments, [1.0], METHODS, lambda _: None)
    plain, guided = (np.trace(made[method][0, 0].covariance[0][:FEATURES, :FEATURES]) for method in METHODS[:2])
    print(f"variance of x in the moments: {plain:.3g}, guided {guided:.3g}")
    assert guided < 0.05 * plain


def test_each_channel_of_a_small_sum_has_its_own_moments() -> None:
    program = layer_and_head("lstm")
    assert has_small_sums(program)
    made = gather(program, observed(program, streams(200)), [1.0], METHODS, lambda _: None)
    shapes = {method: made[method][0, 0].covariance.shape for method in METHODS}
    inputs = FEATURES + HIDDEN
    assert shapes == {
        "compensated": (1, inputs, inputs),
        "guided": (1, inputs, inputs),
        BY_CHANNEL: (HIDDEN, inputs, inputs),
    }
    for moments in (m for method in METHODS for m in made[method].values()):
        assert_moments(moments)


def assert_moments(moments: Moments) -> None:
    np.testing.assert_allclose(moments.covariance, np.swapaxes(moments.covariance, 1, 2), atol=1e-12)
    assert np.all(np.linalg.eigvalsh(moments.covariance) > -1e-6)


def test_a_sum_is_small_by_channels_times_squared_inputs() -> None:
    """2^21 is the limit; a single channel never needs its own moments."""

    def linear(channels: int, inputs: int) -> Program:
        weights = matrix(np.random.default_rng(0), channels, inputs, Reading.FRAME, 16, weights=FLOAT_WEIGHTS)
        return Program(inputs, (Linear((0,), weights, np.zeros(channels, np.float32)),), (("y", 1),))

    assert [has_small_sums(linear(*sizes)) for sizes in ((128, 128), (129, 128), (1, 8))] == [True, False, False]


def test_stacked_arrays_are_padded_with_zeros_at_their_ends() -> None:
    first, second = np.ones((3, 2), np.float32), np.full((1, 2), 5, np.float32)
    made = stacked([first, second], 4)
    assert made.shape == (4, 2, 2)
    np.testing.assert_array_equal(made[:, 0, 0], [1, 1, 1, 0])
    np.testing.assert_array_equal(made[:, 1, 1], [5, 0, 0, 0])
