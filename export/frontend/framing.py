"""From samples to frames: the modules that read samples, in front of all others."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...runtime.errors import ExportError


class Framing(nn.Module):
    """Cut samples into frames that overlap: `[..., samples]` to `[..., frames, frame_length]`.

    Each `hop_length` new samples make a frame. It holds the last `frame_length` samples: the new ones come last, and
    there are zeros before the first sample. Samples after the last whole hop make no frame. So the frames are those of
    `librosa.util.frame` and of torch.stft with `center=False`, after `frame_length - hop_length` zeros in front.

    Args:
        frame_length: Samples of a frame.
        hop_length: Samples from one frame to the next.

    Raises:
        ExportError: A length is not a positive integer.
    """

    def __init__(self, frame_length: int, hop_length: int) -> None:
        super().__init__()
        self.frame_length, self.hop_length = whole("frame_length", frame_length), whole("hop_length", hop_length)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the frames."""
        if samples.size(-1) < self.hop_length:
            raise ExportError(f"{samples.size(-1)} samples make no frame, wanted at least hop_length {self.hop_length}")
        padded = functional.pad(samples, (self.frame_length - self.hop_length, 0))
        return padded.unfold(-1, self.frame_length, self.hop_length)

    def extra_repr(self) -> str:
        """Return the lengths, for print(module)."""
        return f"frame_length={self.frame_length}, hop_length={self.hop_length}"


class Preemphasis(nn.Module):
    """Lift high frequencies: y[n] = x[n] - coeff x[n - 1], with 0 before the first sample; `[..., samples]` both.

    As torchaudio.transforms.Preemphasis. librosa.effects.preemphasis guesses the sample before the first by a line
    through the first two (`zi`); a stream has the first sample before the second, so it starts from 0: `zi=[0]`.

    Args:
        coeff: The share of the sample before, 0 to 1.
    """

    def __init__(self, coeff: float = 0.97) -> None:
        super().__init__()
        self.coeff = float(coeff)

    def forward(self, samples: Tensor) -> Tensor:
        """Return as many samples."""
        return samples - self.coeff * self.earlier(samples)

    def earlier(self, samples: Tensor) -> Tensor:
        """Return for each sample the one before it."""
        return functional.pad(samples, (1, -1))

    def extra_repr(self) -> str:
        """Return the share, for print(module)."""
        return f"coeff={self.coeff}"


def whole(name: str, value: object) -> int:
    """Return a positive integer.

    Raises:
        ExportError: It is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ExportError(f"front end: {name} is {value!r}, wanted a positive integer")
    return value


def window_of(window: object, length: int) -> Tensor:
    """Return a window in float64.

    Args:
        window: A function of a length, such as torch.hann_window, or the values.
        length: Its number of values.

    Raises:
        ExportError: It has another length.
    """
    values = window(length) if callable(window) else window
    made = torch.as_tensor(values).to("cpu", torch.float64).detach()
    if made.shape != (length,):
        raise ExportError(f"front end: the window has shape {list(made.shape)}, wanted [{length}] as win_length says")
    return made
