"""The smartwatch: decisions every ten frames, right or changed."""

import numpy as np
import torch
from tidegate.benchmarks.tasks import watch


def logits(*classes: int) -> np.ndarray:
    """Return logits `[frames, 3]` whose decisions from frame 99 on are these classes."""
    frames = np.zeros((99 + 10 * len(classes), 3))
    for n, one in enumerate(classes):
        frames[99 + 10 * n, one] = 1
    return frames


def test_accuracy_counts_decisions_and_changes_are_from_float() -> None:
    exact = [logits(0, 0), logits(1, 2)]

    found = watch.figures([logits(0, 0), logits(1, 1)], exact, np.array([0, 1]))

    assert found == {"accuracy": 1.0, "changed %": 25.0}
    assert watch.figures(exact, exact, np.array([0, 1])) == {"accuracy": 0.75, "changed %": 0.0}


def test_the_recognizer_normalizes_its_input() -> None:
    mean, std = torch.full((6,), 2.0), torch.full((6,), 4.0)
    net = watch.Recognizer(mean, std)
    plain = watch.Recognizer(torch.zeros(6), torch.ones(6))
    plain.load_state_dict(net.state_dict() | {"mean": torch.zeros(6), "std": torch.ones(6)})
    frames = torch.rand(1, 5, 6)

    assert torch.allclose(net(4 * frames + 2), plain(frames), atol=1e-6)
