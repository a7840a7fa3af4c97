"""Mel bands next to torchaudio, librosa and a stream."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tidegate.frontend import Log, MelScale, MelSpectrogram
from tidegate.runtime.errors import ExportError
from tools.audio_peers import librosa, torchaudio
from tools.front_ends import error, features, sound, streamed
from torch import nn

OPTIONS: dict[str, Any] = {"n_fft": 400, "hop_length": 160, "n_mels": 40}


@pytest.mark.parametrize("norm", [None, "slaney"])
@pytest.mark.parametrize("mel_scale", ["htk", "slaney"])
def test_it_is_torchaudios_and_librosas(norm: str | None, mel_scale: str) -> None:
    samples = sound()
    padded = np.pad(samples, (400 - 160, 0))
    own = features(MelSpectrogram(f_min=20, f_max=7600, **OPTIONS, norm=norm, mel_scale=mel_scale), samples)
    peer = torchaudio().transforms.MelSpectrogram(
        f_min=20, f_max=7600, **OPTIONS, norm=norm, mel_scale=mel_scale, center=False
    )
    first = error(own, peer(torch.from_numpy(padded)).numpy().T)
    wanted = librosa().feature.melspectrogram(
        y=padded.astype(np.float64), **OPTIONS, sr=16000, fmin=20, fmax=7600, center=False, norm=norm,
        htk=mel_scale == "htk", dtype=np.float64,
    )  # fmt: skip
    second = error(own, wanted.T)
    print(f"{norm} {mel_scale}: torchaudio {first:.1e}, librosa {second:.1e}")
    assert max(first, second) < 1e-5


def test_a_log_mel_spectrum_streams(tmp_path: Path) -> None:
    front, samples = nn.Sequential(MelSpectrogram(**OPTIONS), Log()), sound(0.5)
    assert error(streamed(front, samples, tmp_path), features(front, samples)) < 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "area"}, "norm is 'area'"),
        ({"mel_scale": "bark"}, "mel_scale 'bark'"),
        ({"f_min": 9000}, "bands from 9000 to 8000.0 Hz, wanted within 0 to 8000.0 Hz"),
        ({"n_mels": 0}, "n_mels is 0"),
    ],
)
def test_other_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        MelScale(**options)
