"""Deltas next to torchaudio and librosa, running norms next to their formula, and both in a stream."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.frontend import ComputeDeltas, Log, MelSpectrogram, RunningNorm
from tidegate.runtime.errors import ExportError
from tools.audio_peers import librosa, torchaudio
from tools.front_ends import error, features, sound, streamed
from torch import nn

NOISE = np.random.default_rng(0).standard_normal((60, 7)).astype(np.float32)


@pytest.mark.parametrize("width", [3, 5, 9])
def test_deltas_are_those_of_torchaudio_and_librosa_later(width: int) -> None:
    own = features(ComputeDeltas(width), NOISE)[width - 1 :]
    peer = torchaudio().transforms.ComputeDeltas(width)(torch.from_numpy(NOISE.T.copy())).numpy().T
    other = librosa().feature.delta(NOISE.astype(np.float64), width=width, axis=0, mode="nearest")
    inside = slice(width // 2, len(NOISE) - width // 2)
    assert error(own, peer[inside]) < 1e-6
    assert error(own, other[inside]) < 1e-6


def test_deltas_are_features_of_even_an_odd_number_of_frames() -> None:
    with pytest.raises(ExportError, match="win_length is 4, wanted an odd number of at least 3"):
        ComputeDeltas(4)


class Slopes(nn.Module):
    """A log mel spectrum and its slope, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.mel = nn.Sequential(MelSpectrogram(n_fft=400, hop_length=160, n_mels=20), Log())
        self.deltas = ComputeDeltas(5)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        bands = self.mel(samples)
        return torch.cat((bands, self.deltas(bands)), -1)


def test_deltas_stream(tmp_path: Path) -> None:
    assert error(streamed(Slopes(), sound(0.5), tmp_path), features(Slopes(), sound(0.5))) < 1e-5


def test_a_running_norm_is_its_formula() -> None:
    norm = RunningNorm(7, momentum=0.1)
    mean, variance, wanted = np.zeros(7), np.ones(7), []
    for frame in NOISE.astype(np.float64):
        mean = mean + 0.1 * (frame - mean)
        variance = variance + 0.1 * ((frame - mean) ** 2 - variance)
        wanted.append((frame - mean) / np.sqrt(variance + 1e-5))
    assert error(features(norm, NOISE), np.array(wanted)) < 1e-5


def test_row_178_a_running_norm_streams_from_its_buffers(tmp_path: Path) -> None:
    """From the first frame on: the start is part of the file."""
    norm = RunningNorm(20, momentum=0.05)
    norm.running_mean += -3
    norm.running_var += 4
    front = nn.Sequential(MelSpectrogram(n_fft=400, hop_length=160, n_mels=20), Log(), norm)
    assert error(streamed(front, sound(0.5), tmp_path), features(front, sound(0.5))) < 1e-5


@pytest.mark.parametrize("options", [{"momentum": 0.0}, {"momentum": 1.5}, {"eps": 0.0}])
def test_other_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ExportError, match="wanted within 0 to 1, and above 0"):
        RunningNorm(7, **options)
