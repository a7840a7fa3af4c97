"""Frames before this one, for convolutions along time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats
from .base import Operator, Record, Slot, State


@dataclass(frozen=True, eq=False)
class Window(Operator):
    """Taps of a causal convolution; a Linear on them is the convolution.

    For each channel the values of the frames t - (kernel - 1) * dilation, ..., t - dilation, t, the oldest first:
    the order of an ONNX weight `[out, channels, kernel]`. The state is the tail, the last (kernel - 1) * dilation
    frames, `[channels, frames]`.
    """

    kernel: int
    dilation: int
    channels: int
    tail: Slot

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The tail."""
        return (self.tail,)

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002  of its own channels
        """The kernel's taps for each channel."""
        return self.kernel * self.channels

    def initial(self) -> State:
        """Silence."""
        return (np.zeros(self.channels * (self.kernel - 1) * self.dilation, np.float32),)

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """The taps; values stay as they are."""
        tail = state[0].reshape(self.channels, -1)
        frames = np.concatenate([tail, x[0][:, None]], axis=1)
        return frames[:, :: self.dilation].ravel(), (frames[:, 1:].ravel(),)

    def record(self) -> Record:
        """Kernel and dilation."""
        return Record(counts=(self.kernel, self.dilation))
