"""The frames that a convolution along time reads for one answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Floats
from ..clocks import Clock
from ..contract import HIDDEN, Slot
from .base import Frames, Operator, Record, State


@dataclass(frozen=True, eq=False)
class Window(Operator):
    """The taps of a convolution; a Linear on them completes it.

    The result at frame t has for each channel the values of the frames a - (kernel - 1) * dilation, ..., a - dilation,
    a, with a = t + lookahead. The oldest comes first, as in an ONNX weight `[out, channels, kernel]`. Frames before the
    start and after the end of the stream are zeros. The state is the tail: the last (kernel - 1) * dilation frames of
    the input, `[channels, frames]`.

    With `together`, each `together` consecutive channels stay together: the result is `[channels / together, kernel,
    together]`, and the tail `[channels / together, frames, together]`.
    """

    floats: ClassVar[bool] = False

    kernel: int
    dilation: int
    channels: int
    tail: Slot = HIDDEN
    lookahead: int = 0
    together: int = 1

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The tail."""
        return (self.tail,)

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """One value per tap and channel."""
        return self.kernel * self.channels

    def initial(self) -> State:
        """Zeros, and the number of frames read so far."""
        return np.zeros(self.channels * (self.kernel - 1) * self.dilation, np.float32), np.zeros(1, np.int64)

    def clock(self, clocks: Sequence[Clock]) -> Clock:
        """The clock of the input, later by the lookahead."""
        return super().clock(clocks).behind(self.lookahead)

    def advance(self, state: State, frames: Sequence[Frames], *, closing: bool) -> tuple[Frames, State]:
        """The taps of each frame as soon as its lookahead is complete; at the end of the stream zeros complete it."""
        behind = [np.zeros(self.channels, np.float32)] * (self.lookahead * closing)
        made, tail, position = [], state[0], state[1]
        for x in (*frames[0], *behind):
            y, (tail,) = self.step((tail,), x)
            if position[0] >= self.lookahead:
                made.append(y)
            position = position + 1
        return made, (tail, position)

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """The taps whose newest frame is x; values are not changed."""
        tail = state[0].reshape(self.channels // self.together, -1, self.together)
        frames = np.concatenate([tail, x[0].reshape(-1, 1, self.together)], axis=1)
        return frames[:, :: self.dilation].ravel(), (frames[:, 1:].ravel(),)

    def record(self) -> Record:
        """Kernel, dilation, lookahead, and the channels that stay together, less 1."""
        return Record(counts=(self.kernel, self.dilation, self.lookahead, self.together - 1))
