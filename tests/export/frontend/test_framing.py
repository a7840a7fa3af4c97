"""Framing and pre-emphasis, next to librosa, torchaudio and a stream."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.frontend import Framing, Preemphasis, Spectrogram
from tidegate.runtime.errors import ExportError
from tools.audio_peers import librosa, torchaudio
from tools.front_ends import error, features, sound, streamed
from torch import nn


@pytest.mark.parametrize("length", [160, 400, 480, 100])
def test_frames_are_those_of_librosa_after_zeros(length: int) -> None:
    """Also shorter than a hop; the 37 samples after the last hop make no frame."""
    samples = sound()[: 40 * 160 + 37]
    padded = np.pad(samples, (length - 160, 0)) if length >= 160 else samples[160 - length :]
    wanted = librosa().util.frame(padded, frame_length=length, hop_length=160, axis=0)
    np.testing.assert_array_equal(features(Framing(length, 160), samples), wanted)


@pytest.mark.parametrize("length", [320, 400, 100])
def test_frames_stream(length: int, tmp_path: Path) -> None:
    samples = sound(0.5)
    np.testing.assert_array_equal(
        streamed(Framing(length, 160), samples, tmp_path), features(Framing(length, 160), samples)
    )


def test_preemphasis_is_that_of_torchaudio_and_librosa() -> None:
    samples = sound()
    seen = features(Preemphasis(0.95), samples)
    wanted = torchaudio().transforms.Preemphasis(0.95)(torch.from_numpy(samples)[None])[0].numpy()
    assert error(seen, wanted) < 1e-6
    assert error(seen, librosa().effects.preemphasis(samples, coef=0.95, zi=[0.0])) < 1e-6


def test_preemphasis_streams_over_the_ends_of_pushes(tmp_path: Path) -> None:
    front = nn.Sequential(Preemphasis(), Framing(400, 160))
    samples = sound(0.5)
    assert error(streamed(front, samples, tmp_path), features(front, samples)) < 1e-6


def test_a_front_end_is_trained_through() -> None:
    samples = torch.from_numpy(sound(0.1))[None].requires_grad_()
    nn.Sequential(Preemphasis(), Spectrogram(400, hop_length=160))(samples).sum().backward()
    assert samples.grad is not None
    assert samples.grad.abs().sum() > 0


@pytest.mark.parametrize("length", [0, -1, 2.5, True])
def test_a_length_is_a_positive_integer(length: int) -> None:
    with pytest.raises(ExportError, match=r"hop_length is .*, wanted a positive integer"):
        Framing(400, length)


def test_a_signal_shorter_than_a_hop_is_refused() -> None:
    with pytest.raises(ExportError, match="100 samples make no frame, wanted at least hop_length 160"):
        Framing(400, 160)(torch.zeros(1, 100))


def test_a_module_shows_its_options() -> None:
    shown = repr(nn.Sequential(Framing(400, 160), Preemphasis(0.9)))
    assert "frame_length=400, hop_length=160" in shown
    assert "coeff=0.9" in shown
