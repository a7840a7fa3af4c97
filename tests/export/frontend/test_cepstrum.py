"""Cepstra next to torchaudio, librosa and a stream."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tidegate.frontend import MFCC
from tidegate.runtime.errors import ExportError
from tools.audio_peers import librosa, torchaudio
from tools.front_ends import error, features, sound, streamed

MEL: dict[str, Any] = {"n_fft": 400, "hop_length": 160, "n_mels": 40}


@pytest.mark.parametrize(("log_mels", "norm"), [(True, "ortho"), (True, None), (False, "ortho")])
def test_it_is_torchaudios(log_mels: bool, norm: str | None) -> None:
    """With noise, so that no band is below torchaudio's floor of 80 dB below the loudest."""
    samples = sound() + np.random.default_rng(3).standard_normal(16000).astype(np.float32) * np.float32(0.03)
    own = features(MFCC(16000, 13, norm=norm, log_mels=log_mels, melkwargs=MEL), samples)
    peer = torchaudio().transforms.MFCC(16000, 13, norm=norm, log_mels=log_mels, melkwargs={**MEL, "center": False})
    seen = error(own, peer(torch.from_numpy(np.pad(samples, (400 - 160, 0)))).numpy().T)
    print(f"torchaudio, log_mels {log_mels}, {norm}: {seen:.1e}")
    assert seen < 1e-5


def test_it_is_librosas() -> None:
    samples = sound() + np.random.default_rng(3).standard_normal(16000).astype(np.float32) * np.float32(0.03)
    own = features(MFCC(16000, 13, melkwargs={**MEL, "norm": "slaney", "mel_scale": "slaney"}), samples)
    padded = np.pad(samples.astype(np.float64), (400 - 160, 0))
    bands = librosa().feature.melspectrogram(y=padded, sr=16000, **MEL, center=False, dtype=np.float64)
    wanted = librosa().feature.mfcc(S=librosa().power_to_db(bands, top_db=None), n_mfcc=13).T
    seen = error(own, wanted)
    print(f"librosa: {seen:.1e}")
    assert seen < 1e-5


def test_it_streams(tmp_path: Path) -> None:
    front, samples = MFCC(16000, 13, log_mels=True, melkwargs=MEL), sound(0.5)
    assert error(streamed(front, samples, tmp_path), features(front, samples)) < 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_mfcc": 41}, "n_mfcc is 41, wanted at most the 40 bands of n_mels"),
        ({"dct_type": 3}, "dct_type is 3 and norm 'ortho', wanted 2"),
        ({"norm": "slaney"}, "dct_type is 2 and norm 'slaney'"),
    ],
)
def test_other_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        MFCC(melkwargs=MEL, **options)
