"""Cepstra: mel bands, their logarithms, and a cosine transform."""

from collections.abc import Mapping
from math import pi, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.errors import ExportError
from .framing import whole
from .loudness import AmplitudeToDB, Log
from .mel import MelSpectrogram


class MFCC(nn.Module):
    """Mel-frequency cepstral coefficients: `[..., samples]` to `[..., frames, n_mfcc]`.

    Parameters are those of torchaudio.transforms.MFCC. The decibels have no `top_db`, which is 80 there and in librosa:
    the loudest value of the whole signal is not known while it streams.

    Args:
        sample_rate: Samples per second.
        n_mfcc: The number of coefficients.
        dct_type: Only 2.
        norm: `ortho`, or None: twice the plain sum.
        log_mels: Whether to take log(x + 1e-6) in place of decibels.
        melkwargs: Options of `MelSpectrogram`.

    Raises:
        ExportError: An option is not allowed.
    """

    dct: Tensor

    def __init__(
        self,
        sample_rate: float = 16000,
        n_mfcc: int = 40,
        *,
        dct_type: int = 2,
        norm: str | None = "ortho",
        log_mels: bool = False,
        melkwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.mel = MelSpectrogram(sample_rate, **(melkwargs or {}))
        self.loudness = Log(1e-6) if log_mels else AmplitudeToDB("power")
        bands = self.mel.mel_scale.n_mels
        if whole("n_mfcc", n_mfcc) > bands:
            raise ExportError(f"front end: n_mfcc is {n_mfcc}, wanted at most the {bands} bands of n_mels")
        if dct_type != 2 or norm not in (None, "ortho"):
            raise ExportError(f"front end: dct_type is {dct_type} and norm {norm!r}, wanted 2, and 'ortho' or None")
        self.register_buffer("dct", _cosines(n_mfcc, bands, norm).to(torch.float32), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the coefficients of each frame."""
        return torch.matmul(self.loudness(self.mel(samples)), self.dct)


def _cosines(count: int, bands: int, norm: str | None) -> Tensor:
    """Return the cosines of a DCT of type 2, `[bands, count]`, in float64."""
    turns = torch.outer(2 * torch.arange(bands) + 1, torch.arange(count)).to(torch.float64)
    made = 2 * torch.cos(pi / (2 * bands) * turns)
    if norm is None:
        return made
    made[:, 0] /= sqrt(2)
    return made / sqrt(2 * bands)
