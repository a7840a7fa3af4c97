"""Speech detection: features that do not depend on later samples, labels at the centre, figures by kind."""

import numpy as np
import torch
from tidegate.benchmarks.tasks import vad


def test_a_step_of_features_depends_on_its_own_samples_and_the_64_before() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = {"stft_conv.weight": (258, 1, 256), "conv1.weight": (128, 129, 3), "conv1.bias": (128,)}
    shapes |= {f"conv{n}.weight": (128, 128, 3) for n in (2, 3, 4)} | {f"conv{n}.bias": (128,) for n in (2, 3, 4)}
    weights = {name: torch.randn(shape, generator=generator) / 10 for name, shape in shapes.items()}
    samples = np.random.default_rng(0).standard_normal(5 * vad.STEP + 100).astype(np.float32)

    whole = vad.features(samples, weights)
    changed = samples.copy()
    changed[3 * vad.STEP - vad.BEFORE - 1] += 1  # the last sample of step 2 that step 3 does not see

    assert whole.shape == (5, 128)
    differs = (vad.features(changed, weights) != whole).any(1)
    assert differs.tolist() == [False, False, True, False, False]


def test_a_label_is_that_of_the_10_ms_frame_at_the_centre() -> None:
    """A step has 32 ms: the centres are at 16, 48, 80 ms."""
    labels = np.arange(10, dtype=np.float32)

    assert vad._at_centres(labels).tolist() == [1, 4, 8]


def test_figures_are_apart_for_clean_and_noisy_mixes() -> None:
    exact = [np.array([[0.9], [0.1]]), np.array([[0.8], [0.3]])]
    noisy = [exact[0], np.array([[0.2], [0.3]])]

    found = vad.figures(noisy, exact, np.array([1, 0]))

    assert found == {"AUC clean": 1, "changed clean": 0, "AUC noisy": 0, "changed noisy": 1}
