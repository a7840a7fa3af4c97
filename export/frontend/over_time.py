"""Features that need earlier frames: their slope, and their distance from a running mean."""

from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...runtime.errors import ExportError
from .framing import whole


class ComputeDeltas(nn.Module):
    """The slope of each feature over the last `win_length` frames: `[batch, frames, features]` both.

    The slope is that of the line that fits the frames best, as in torchaudio.transforms.ComputeDeltas and
    librosa.feature.delta. These look at frames on both sides: a stream has only the frames before, so the slope at
    frame t here is the one there at frame t - win_length // 2. Before the first frame there are zeros.

    Args:
        win_length: Frames, an odd number of at least 3 (librosa's width; torchaudio's default is 5, librosa's 9).

    Raises:
        ExportError: It is another number.
    """

    def __init__(self, win_length: int = 5) -> None:
        super().__init__()
        self.win_length = whole("win_length", win_length)
        if win_length < 3 or not win_length % 2:
            raise ExportError(f"front end: win_length is {win_length}, wanted an odd number of at least 3")
        places = torch.arange(win_length, dtype=torch.float64) - win_length // 2
        self.slope: list[float] = (places / places.square().sum()).tolist()

    def forward(self, x: Tensor) -> Tensor:
        """Return the slopes."""
        last = self.win_length - 1
        frames = functional.pad(x, (0, 0, last, 0))
        parts = [slope * frames[:, i : i - last or None] for i, slope in enumerate(self.slope) if slope]
        return reduce(torch.add, parts)

    def extra_repr(self) -> str:
        """Return the options, for print(module)."""
        return f"win_length={self.win_length}"


class RunningNorm(nn.Module):
    """Subtract a running mean and divide by a running deviation: `[batch, frames, features]` both.

    The mean and the variance of each feature follow the frames: m[t] = m[t - 1] + momentum (x[t] - m[t - 1]), and the
    same for (x[t] - m[t])^2; y = (x - m) / sqrt(variance + eps). Parameters and buffers have the names of
    torch.nn.BatchNorm1d. A stream starts from `running_mean` and `running_var`, which training does not change: set
    them to the mean and the variance of your training features, so that the first second is heard like the rest.

    Args:
        num_features: The features of a frame.
        momentum: The share of a new frame, above 0 and at most 1; 0.01 at 100 frames a second forgets in about 1 s.
        eps: What is added to the variance.

    Raises:
        ExportError: A number is not allowed.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, momentum: float = 0.01, eps: float = 1e-5) -> None:
        super().__init__()
        if not 0 < momentum <= 1 or not eps > 0:
            raise ExportError(f"front end: momentum is {momentum} and eps {eps}, wanted within 0 to 1, and above 0")
        self.momentum, self.eps = float(momentum), float(eps)
        self.register_buffer("running_mean", torch.zeros(whole("num_features", num_features)))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized features."""
        distance = x - self.averages(x, self.running_mean)
        variance = self.averages(distance * distance, self.running_var)
        return distance / torch.sqrt(variance + self.eps)

    def averages(self, x: Tensor, start: Tensor) -> Tensor:
        """Return the running average at each frame."""
        made, average = [], start
        for frame in x.unbind(1):
            average = average + self.momentum * (frame - average)
            made.append(average)
        return torch.stack(made, 1)

    def extra_repr(self) -> str:
        """Return the options, for print(module)."""
        return f"num_features={len(self.running_mean)}, momentum={self.momentum}"
