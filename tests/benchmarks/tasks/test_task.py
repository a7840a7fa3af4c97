"""Tasks: goals, and the figures that several tasks have in common."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks.tasks.task import Goal, auc, equal_error_rate, named, recording, tensors


def test_a_goal_is_met_from_its_own_side() -> None:
    assert [Goal(3, 1).met(v) for v in (0, 1, 2, 4)] == ["stretch", "stretch", "must", "missed"]
    assert [Goal(0.9, 0.99, least=True).met(v) for v in (1, 0.95, 0.5)] == ["stretch", "must", "missed"]
    assert [Goal(0.1, 0.01, about=0.5).met(v) for v in (0.495, 0.45, 0.7)] == ["stretch", "must", "missed"]


def test_area_under_the_curve_and_equal_error_rate() -> None:
    scores, labels = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), np.array([1, 1, 0, 1, 0, 0])
    assert auc(scores, labels) == pytest.approx(8 / 9)
    assert auc(np.ones(6), labels) == 0.5
    assert equal_error_rate(scores, labels) == pytest.approx(1 / 3)
    assert equal_error_rate(scores, np.array([1, 1, 1, 0, 0, 0])) == 0


def test_tensors_and_recordings_are_read(tmp_path: Path) -> None:
    torch, soundfile = pytest.importorskip("torch"), pytest.importorskip("soundfile")
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file({"a.w": torch.ones(2), "b.w": torch.zeros(2), "c": torch.zeros(1)}, tmp_path / "w.safetensors")
    samples = np.linspace(-0.5, 0.5, 32).astype(np.float32)
    soundfile.write(tmp_path / "r.wav", samples, 16000, subtype="FLOAT")

    assert list(named(tensors(tmp_path / "w.safetensors"), "a.", "b.")) == ["a.w", "b.w"]
    np.testing.assert_array_equal(recording(tmp_path / "r.wav"), samples)
