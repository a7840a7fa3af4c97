"""Real models: one job per model, at the rate of its source. A small model replaces each of them here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.benchmarks.suites import real_models
from tidegate.benchmarks.suites.real_models import RealModel, real_jobs
from tidegate.benchmarks.tasks.task import Task


class Net(torch.nn.Module):
    """An LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.lstm(x)[0]
        return y


def task(_: Path) -> Task:
    """Return a small task with two streams of 40 frames."""
    streams = [np.random.default_rng(n).standard_normal((40, 3), np.float32) for n in range(2)]
    return Task("small", Net().eval(), 3, streams, streams, lambda *_: {})


@pytest.mark.slow
def test_each_model_is_a_job_at_the_rate_of_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_models, "REAL_MODELS", (RealModel(task, 16000, 160),))
    monkeypatch.setattr(real_models, "VOICE", RealModel(task, 50, 1))
    monkeypatch.setattr(real_models, "find_spec", lambda _: None)  # silero_vad is not installed

    jobs = [job for n, make in enumerate(real_jobs(tmp_path)) for job in make(tmp_path / str(n))]

    assert [(job.case, job.steps, job.rate) for job in jobs] == [("small", 1, 100), ("small", 1, 50)]
    assert [len(job.chunks()) for job in jobs] == [80, 80]
    assert jobs[0].exact().shape == (80, 4)


def test_a_missing_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such folder of real models and recordings"):
        next(real_jobs(tmp_path / "none"))
