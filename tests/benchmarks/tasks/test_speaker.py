"""Speaker verification: its features, and its figures over pairs of windows."""

import numpy as np
import pytest
from tidegate.benchmarks.tasks import speaker


def test_features_are_frames_of_10_ms() -> None:
    features = speaker.features(np.ones(16000, np.float32), np.ones((40, 201), np.float32))

    assert features.shape == (101, 40)
    assert features.dtype == np.float32
    assert (features >= 0).all()


def test_quiet_speech_has_the_features_of_speech_at_minus_30_db() -> None:
    basis = np.random.default_rng(0).random((40, 201)).astype(np.float32)
    tone = np.sin(np.arange(4000) / 5).astype(np.float32)

    quiet, quieter, loud = (speaker.features(gain * tone, basis) for gain in (1e-2, 1e-3, 1.0))

    np.testing.assert_allclose(quiet, quieter, rtol=1e-3)
    assert loud.mean() > 100 * quiet.mean()


def test_figures_are_those_of_all_pairs() -> None:
    """Two speakers with two windows each; the embeddings tell them apart, but one is turned."""
    exact = [np.array(v) for v in ([1.0, 0], [1.0, 0], [0, 1.0], [0, 1.0])]
    turned = [exact[0], np.array([0.6, 0.8]), *exact[2:]]
    pairs = np.triu_indices(4, 1)
    same = np.equal(pairs[0] // 2, pairs[1] // 2)

    assert speaker.figures(exact, exact, pairs, same) == {"EER %": 0, "mean cos": 1, "min cos": 1}
    found = speaker.figures(turned, exact, pairs, same)
    assert found["EER %"] > 0
    assert (found["min cos"], found["mean cos"]) == pytest.approx((0.6, 0.9))
