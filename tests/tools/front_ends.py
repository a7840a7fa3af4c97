"""Models with a front end: a signal, the features of a module, and those of the same front end inside a file."""

from pathlib import Path

import numpy as np
import tidegate
import torch
from tidegate.runtime.arrays import Floats
from torch import Tensor, nn

RATE, HOP = 16000, 160


class Heard(nn.Module):
    """A front end before a small recurrent layer; answers the layer's answers and the features."""

    def __init__(self, front: nn.Module, features: int) -> None:
        super().__init__()
        self.front, self.layer = front, nn.GRU(features, 3, batch_first=True)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:  # [batch, samples]
        features = self.front(samples)
        return self.layer(features.flatten(2))[0], features


def sound(seconds: float = 1.0, seed: int = 0) -> Floats:
    """Return `[samples]`: a sweep and two tones, in noise, with a silent tenth."""
    time = np.arange(int(seconds * RATE)) / RATE
    sweep = 0.3 * np.sin(2 * np.pi * (200 + 1500 * time) * time)
    tones = 0.2 * np.sin(2 * np.pi * 440 * time) + 0.02 * np.sin(2 * np.pi * 5000 * time)
    noise = 0.01 * np.random.default_rng(seed).standard_normal(time.size)
    made = np.asarray(sweep + tones + noise, np.float32)
    made[time.size // 2 : time.size // 2 + time.size // 10] = 0
    return made


def features(front: nn.Module, samples: Floats) -> Floats:
    """Return the features `[frames, ...]` of samples `[samples]`."""
    with torch.no_grad():
        made: Floats = front(torch.from_numpy(samples)[None])[0].numpy()
    return made


def streamed(front: nn.Module, samples: Floats, folder: Path, hop: int = HOP) -> Floats:
    """Export a front end before a layer; return its features from a stream on the engine.

    The stream is pushed in two ways, and gives the same bits in both.
    """
    wanted = features(front, samples)
    torch.manual_seed(0)
    model = Heard(front, int(np.prod(wanted.shape[1:])))
    path = folder / "heard.onnx"
    report = tidegate.export_model(model, torch.from_numpy(samples)[None], path, sample_rate=RATE)
    assert not report.refused
    assert (report.contract.samples, report.contract.hop, report.contract.sample_rate) == (True, hop, RATE)
    frames = samples[: samples.size // hop * hop].reshape(-1, hop)
    loaded = tidegate.load(path)
    whole = loaded.stream().push(frames)["output_1"]
    stream = loaded.stream()
    cut = [stream.push(frames[start : start + 7])["output_1"] for start in range(0, len(frames), 7)]
    np.testing.assert_array_equal(np.concatenate(cut), whole)
    answers: Floats = whole
    return answers


def error(seen: Floats, wanted: Floats) -> float:
    """Return the largest difference, relative to the largest value."""
    assert seen.shape == wanted.shape
    return float(np.abs(seen - wanted).max() / np.abs(wanted).max())
