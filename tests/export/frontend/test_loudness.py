"""Logarithms next to torchaudio, librosa and a stream."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.frontend import AmplitudeToDB, Log, MelSpectrogram
from tidegate.runtime.errors import ExportError
from tools.audio_peers import librosa, torchaudio
from tools.front_ends import features, sound, streamed
from torch import nn

FLOOR = 1e-7  # of the largest power: below, the rounding of a float32 spectrum is what is heard


def largest_difference(seen: np.ndarray, wanted: np.ndarray, powers: np.ndarray) -> float:
    """Return the largest difference of logarithms of powers above the floor."""
    loud = powers > FLOOR * powers.max()
    assert loud.mean() > 0.5
    return float(np.abs(seen - wanted)[loud].max())


@pytest.mark.parametrize("stype", ["power", "magnitude"])
def test_decibels_are_torchaudios_and_librosas(stype: str) -> None:
    values = np.abs(sound()).reshape(-1, 160)
    own = features(AmplitudeToDB(stype, amin=1e-6, ref=1.0), values)
    peer = torchaudio().transforms.AmplitudeToDB(stype)
    peer.amin = 1e-6
    peer.db_multiplier = 0.0
    wanted = peer(torch.from_numpy(values)).numpy()
    asked = librosa().power_to_db if stype == "power" else librosa().amplitude_to_db
    other = asked(values.astype(np.float64), ref=1.0, amin=1e-6, top_db=None)
    assert np.abs(own - wanted).max() < 1e-4
    assert np.abs(own - other).max() < 1e-4


def test_a_log_mel_spectrum_is_librosas_above_the_floor(tmp_path: Path) -> None:
    samples = sound(0.5)
    mel = MelSpectrogram(n_fft=400, hop_length=160, n_mels=40)
    padded = np.pad(samples.astype(np.float64), (400 - 160, 0))
    powers = librosa().feature.melspectrogram(
        y=padded, sr=16000, n_fft=400, hop_length=160, n_mels=40, center=False, norm=None, htk=True, dtype=np.float64
    ).T  # fmt: skip
    seen = streamed(nn.Sequential(mel, Log(1e-12)), samples, tmp_path)
    difference = largest_difference(seen, np.log(powers + 1e-12), powers)
    print(f"log mel, above {FLOOR} of the largest power: {difference:.1e}")
    assert difference < 1e-4


def test_decibels_stream(tmp_path: Path) -> None:
    front = nn.Sequential(MelSpectrogram(n_fft=400, hop_length=160, n_mels=40), AmplitudeToDB())
    samples = sound(0.5)
    powers = features(front[0], samples)
    assert largest_difference(streamed(front, samples, tmp_path), features(front, samples), powers) < 1e-3


def test_options_that_a_stream_cannot_have_are_refused() -> None:
    with pytest.raises(ExportError, match=r"top_db is 80.0, wanted None: it cuts below the loudest value"):
        AmplitudeToDB(top_db=80.0)
    with pytest.raises(ExportError, match="stype is 'energy', wanted 'power' or 'magnitude'"):
        AmplitudeToDB("energy")
    with pytest.raises(ExportError, match="offset is 0, wanted a number above 0"):
        Log(0)
