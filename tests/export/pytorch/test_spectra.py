"""Spectra of a whole signal are refused, and the message names the front end that streams."""

from pathlib import Path

import pytest
import tidegate
import torch
from tidegate.frontend import Log, MelSpectrogram
from tidegate.runtime.errors import UnsupportedError
from tools.audio_peers import torchaudio
from torch import Tensor, nn


class Magnitudes(nn.Module):
    """A spectrum in the forward."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(33, 3, batch_first=True)

    def forward(self, samples: Tensor) -> Tensor:  # [batch, samples]
        spectrum = torch.stft(samples, 64, 32, window=torch.ones(64), center=False, return_complex=True)
        answers: Tensor = self.layer(spectrum.abs().transpose(1, 2))[0]
        return answers


class Peer(nn.Module):
    """A transform of torchaudio before a layer; it has bins before frames."""

    def __init__(self) -> None:
        super().__init__()
        self.mel = torchaudio().transforms.MelSpectrogram(16000, n_fft=64, hop_length=32, n_mels=8)
        self.layer = nn.GRU(8, 3, batch_first=True)

    def forward(self, samples: Tensor) -> Tensor:
        answers: Tensor = self.layer(self.mel(samples).transpose(1, 2))[0]
        return answers


def test_a_spectrum_of_torch_is_refused_with_its_front_end(tmp_path: Path) -> None:
    message = (
        r"the forward calls torch.stft \(n_fft=64, hop_length=32, center=False\), which reads the whole signal; wanted "
        r"a front end that streams: tidegate.frontend.Spectrogram\(n_fft=64, hop_length=32\)"
    )
    with pytest.raises(UnsupportedError, match=message):
        tidegate.export_model(Magnitudes(), torch.randn(1, 640), tmp_path / "m.onnx")


def test_a_transform_of_torchaudio_is_refused_with_its_namesake_which_exports(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Peer()
    message = r"module 'mel' calls torch.stft .*tidegate.frontend.MelSpectrogram\(n_fft=64, hop_length=32\)"
    with pytest.raises(UnsupportedError, match=message):
        tidegate.export_model(module, torch.randn(1, 640), tmp_path / "m.onnx")
    streams = nn.Sequential(MelSpectrogram(n_fft=64, hop_length=32, n_mels=8), Log(), module.layer)
    assert tidegate.export_model(streams, torch.randn(1, 640), tmp_path / "m.onnx").contract.samples
