"""Mel bands: sums of a spectrum under triangles that are equally wide to the ear."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.errors import ExportError
from .framing import whole
from .spectrum import Spectrogram

_BREAK, _LINEAR, _STEP = 1000.0, 200.0 / 3, torch.log(torch.tensor(6.4, dtype=torch.float64)) / 27  # Slaney's scale


class MelScale(nn.Module):
    """Sum a spectrum in mel bands: `[..., n_stft]` to `[..., n_mels]`.

    Parameters are those of torchaudio.transforms.MelScale. librosa's defaults are `norm="slaney"`,
    `mel_scale="slaney"` (its `htk=False`).

    Args:
        n_mels: The number of bands.
        sample_rate: Samples per second.
        f_min: The lowest frequency in Hz (librosa's fmin).
        f_max: The highest frequency in Hz (librosa's fmax); None: half of the sample rate.
        n_stft: The bins of the spectrum.
        norm: `slaney`: each triangle has the area 1, or None: the height 1.
        mel_scale: `htk` or `slaney`.

    Raises:
        ExportError: A number or name is not allowed.
    """

    fb: Tensor

    def __init__(
        self,
        n_mels: int = 128,
        sample_rate: float = 16000,
        f_min: float = 0.0,
        f_max: float | None = None,
        *,
        n_stft: int = 201,
        norm: str | None = None,
        mel_scale: str = "htk",
    ) -> None:
        super().__init__()
        top = sample_rate / 2 if f_max is None else f_max
        if norm not in (None, "slaney") or mel_scale not in ("htk", "slaney"):
            raise ExportError(
                f"front end: norm is {norm!r} and mel_scale {mel_scale!r}, wanted None or 'slaney', and 'htk' or "
                "'slaney'"
            )
        if not 0 <= f_min < top <= sample_rate / 2:
            raise ExportError(f"front end: bands from {f_min} to {top} Hz, wanted within 0 to {sample_rate / 2} Hz")
        self.sample_rate, self.n_mels = float(sample_rate), whole("n_mels", n_mels)
        bins = torch.linspace(0, sample_rate / 2, whole("n_stft", n_stft), dtype=torch.float64)
        low, high = (float(_mels(torch.tensor(end, dtype=torch.float64), mel_scale)) for end in (f_min, top))
        edges = _hertz(torch.linspace(low, high, n_mels + 2, dtype=torch.float64), mel_scale)
        made = _triangles(bins, edges)
        made = made * (2 / (edges[2:] - edges[:-2])) if norm else made
        self.register_buffer("fb", made.to(torch.float32), persistent=False)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Return the bands."""
        return torch.matmul(spectrum, self.fb)

    def extra_repr(self) -> str:
        """Return the options, for print(module)."""
        return f"n_mels={self.n_mels}, sample_rate={self.sample_rate:g}"


class MelSpectrogram(nn.Module):
    """The mel spectrum of each frame of samples: `[..., samples]` to `[..., frames, n_mels]`.

    Parameters are those of torchaudio.transforms.MelSpectrogram: those of `Spectrogram` and of `MelScale`.

    Raises:
        ExportError: An option is not allowed; see there.
    """

    def __init__(
        self,
        sample_rate: float = 16000,
        n_fft: int = 400,
        win_length: int | None = None,
        hop_length: int | None = None,
        *,
        f_min: float = 0.0,
        f_max: float | None = None,
        n_mels: int = 128,
        window_fn: Callable[[int], Tensor] | Tensor = torch.hann_window,
        power: float = 2.0,
        normalized: bool = False,
        center: bool = False,
        norm: str | None = None,
        mel_scale: str = "htk",
    ) -> None:
        super().__init__()
        spectrum: dict[str, Any] = {"power": power, "normalized": normalized, "center": center}
        self.spectrogram = Spectrogram(n_fft, win_length, hop_length, window_fn=window_fn, **spectrum)
        bands: dict[str, Any] = {"n_stft": n_fft // 2 + 1, "norm": norm, "mel_scale": mel_scale}
        self.mel_scale = MelScale(n_mels, sample_rate, f_min, f_max, **bands)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the bands of each frame."""
        bands: Tensor = self.mel_scale(self.spectrogram(samples))
        return bands


def _mels(hertz: Tensor, scale: str) -> Tensor:
    if scale == "htk":
        return 2595 * torch.log10(1 + hertz / 700)
    above = _BREAK / _LINEAR + torch.log(hertz.clamp(min=_BREAK) / _BREAK) / _STEP
    return torch.where(hertz < _BREAK, hertz / _LINEAR, above)


def _hertz(mels: Tensor, scale: str) -> Tensor:
    if scale == "htk":
        return 700 * (10 ** (mels / 2595) - 1)
    above = _BREAK * torch.exp(_STEP * (mels - _BREAK / _LINEAR))
    return torch.where(mels < _BREAK / _LINEAR, mels * _LINEAR, above)


def _triangles(bins: Tensor, edges: Tensor) -> Tensor:
    """Return the height of each triangle at each bin, `[bins, bands]`; band i goes from edge i to edge i + 2."""
    rises = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falls = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rises, falls).clamp(min=0)
