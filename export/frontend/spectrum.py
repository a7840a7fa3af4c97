"""Spectra of frames: one product with a matrix that holds the window and the waves."""

from collections.abc import Callable
from math import pi

import torch
from torch import Tensor, nn

from ...runtime.errors import ExportError
from .framing import Framing, whole, window_of


class Spectrogram(nn.Module):
    """The spectrum of each frame of samples: `[..., samples]` to `[..., frames, n_fft // 2 + 1]`.

    Parameters are those of torchaudio.transforms.Spectrogram, the values those of torch.stft with `center=False`, after
    `n_fft - hop_length` zeros in front; frames come before bins, as recurrent layers read them.

    Args:
        n_fft: Samples of a frame.
        win_length: Samples of the window, in the middle of the frame; None: n_fft.
        hop_length: Samples from one frame to the next; None: half of win_length.
        window_fn: The window as a function of its length, or its values. (librosa's `window` by name is
            `torch.hann_window`, `torch.hamming_window` ...)
        power: 2: power, 1: magnitude, or another exponent of the magnitude; None: real and imaginary parts,
            `[..., frames, n_fft // 2 + 1, 2]`.
        normalized: Whether to divide by the root of the sum of squares of the window.
        center: Only False: with True a frame would hold n_fft / 2 samples that come after its hop.

    Raises:
        ExportError: A length is not a positive integer, win_length is above n_fft, or center is true.
    """

    basis: Tensor

    def __init__(
        self,
        n_fft: int = 400,
        win_length: int | None = None,
        hop_length: int | None = None,
        *,
        window_fn: Callable[[int], Tensor] | Tensor = torch.hann_window,
        power: float | None = 2.0,
        normalized: bool = False,
        center: bool = False,
    ) -> None:
        super().__init__()
        self.n_fft = whole("n_fft", n_fft)
        self.win_length = self.n_fft if win_length is None else whole("win_length", win_length)
        hop = max(self.win_length // 2, 1) if hop_length is None else hop_length
        if self.win_length > self.n_fft:
            raise ExportError(f"front end: win_length is {win_length}, wanted at most n_fft, {n_fft}")
        if center:
            raise ExportError(
                "front end: center is True, wanted False: a frame in the middle of its samples needs samples that a "
                "stream does not have yet"
            )
        self.power, self.bins = power, self.n_fft // 2 + 1
        self.framing = Framing(self.n_fft, hop)
        window = window_of(window_fn, self.win_length)
        made = waves(window / window.square().sum().sqrt() if normalized else window, self.n_fft)
        self.register_buffer("basis", made.to(torch.float32), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the spectrum of each frame."""
        start = (self.n_fft - self.win_length) // 2
        frames = self.framing(samples)[..., start : start + self.win_length]
        real, imaginary = torch.split(torch.matmul(frames, self.basis), self.bins, -1)
        if self.power is None:
            return torch.stack((real, imaginary), -1)
        power = real * real + imaginary * imaginary
        return power if self.power == 2 else torch.sqrt(power) if self.power == 1 else power ** (self.power / 2)

    def extra_repr(self) -> str:
        """Return the options, for print(module)."""
        return f"n_fft={self.n_fft}, win_length={self.win_length}, power={self.power}"


def waves(window: Tensor, n_fft: int) -> Tensor:
    """Return the window times the cosines, then times the negative sines, `[win_length, 2 bins]`, in float64."""
    start, bins = (n_fft - len(window)) // 2, n_fft // 2 + 1
    turns = torch.outer(torch.arange(start, start + len(window)), torch.arange(bins)) % n_fft  # exact in integers
    angles = 2 * pi / n_fft * turns.to(torch.float64)
    return window[:, None] * torch.cat((torch.cos(angles), -torch.sin(angles)), 1)
