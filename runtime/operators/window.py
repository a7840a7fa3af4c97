"""Frames around this one, for convolutions along time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Floats
from ..clocks import Clock
from ..contract import HIDDEN, Slot
from .base import Operator, Record, Rows, State


@dataclass(frozen=True, eq=False)
class Window(Operator):
    """Taps of a convolution; a Linear on them is the convolution.

    For each channel the values of the frames a - (kernel - 1) * dilation, ..., a - dilation, a, the oldest first: the
    order of an ONNX weight `[out, channels, kernel]`; a = t + lookahead, and zeros lie before and behind the stream.
    The state is the tail, the last (kernel - 1) * dilation frames that it read, `[channels, frames]`.
    """

    floats: ClassVar[bool] = False

    kernel: int
    dilation: int
    channels: int
    tail: Slot = HIDDEN
    lookahead: int = 0

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The tail."""
        return (self.tail,)

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002  of its own channels
        """The kernel's taps for each channel."""
        return self.kernel * self.channels

    def initial(self) -> State:
        """Silence, and how many frames were read."""
        return np.zeros(self.channels * (self.kernel - 1) * self.dilation, np.float32), np.zeros(1, np.int64)

    def clock(self, clocks: Sequence[Clock]) -> Clock:
        """As much later as it looks ahead."""
        return super().clock(clocks).behind(self.lookahead)

    def advance(self, state: State, rows: Sequence[Rows], *, closing: bool) -> tuple[Rows, State]:
        """The taps of each frame as soon as the frames ahead are there, at the end zeros."""
        behind = [np.zeros(self.channels, np.float32)] * (self.lookahead * closing)
        made, tail, position = [], state[0], state[1]
        for x in (*rows[0], *behind):
            y, (tail,) = self.step((tail,), x)
            if position[0] >= self.lookahead:
                made.append(y)
            position = position + 1
        return made, (tail, position)

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """The taps up to a frame; values stay as they are."""
        tail = state[0].reshape(self.channels, -1)
        frames = np.concatenate([tail, x[0][:, None]], axis=1)
        return frames[:, :: self.dilation].ravel(), (frames[:, 1:].ravel(),)

    def record(self) -> Record:
        """Kernel, dilation and lookahead."""
        return Record(counts=(self.kernel, self.dilation, self.lookahead))
