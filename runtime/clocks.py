"""Clocks: when the frames of a value come in a model that looks ahead. The engine has its own in kernels/src/clocks.h.

A causal operation gives one frame for each frame of its input. An operation that looks n frames ahead gives each frame
n frames later. A backward cell gives the frames of a block when the block and its lookahead are complete. Each of these
has another clock. Two values with the same clock have the same number of frames at every moment of a stream.
"""

from dataclasses import dataclass, replace
from typing import Optional

from .contract import Blocks, require_few_backward


@dataclass(frozen=True)
class Clock:
    """When the frames of a value come.

    Attributes:
        parent: The clock whose frames are grouped into blocks; None: the clock follows the input frame by frame.
        delay: Frames by which it is later than these blocks, or than the input.
    """

    parent: Optional["Clock"] = None
    delay: int = 0

    def behind(self, frames: int) -> "Clock":
        """Return the clock that is later by the given number of frames."""
        return replace(self, delay=self.delay + frames)

    def in_blocks(self) -> "Clock":
        """Return the clock of blocks of these frames.

        Raises:
            UnsupportedError: They are blocks of blocks, too many times.
        """
        clock, layers = self, 1
        while clock.parent is not None:
            clock, layers = clock.parent, layers + 1
        require_few_backward(layers)
        return Clock(self)

    def leads(self, other: "Clock") -> bool:
        """Return whether a value of this clock never has fewer frames than a value of the other."""
        while other.parent != self.parent:
            if other.parent is None:
                return False
            other = other.parent
        return self.delay <= other.delay

    def ready(self, frames: int, blocks: Blocks | None) -> int:
        """Return the number of frames that are ready when an unfinished stream has consumed `frames`."""
        if self.parent is not None:
            frames = _in_blocks(self.parent.ready(frames, blocks), blocks)
        return max(frames - self.delay, 0)

    def lag(self, blocks: Blocks | None) -> int | None:
        """Return the most frames by which it is later than the input; None: the whole stream."""
        if self.parent is None:
            return self.delay
        before = self.parent.lag(blocks)
        if before is None or blocks is None or blocks.frames is None:
            return None
        return before + blocks.frames - 1 + blocks.lookahead + self.delay


def _in_blocks(frames: int, blocks: Blocks | None) -> int:
    """Return the number of frames in complete blocks."""
    if blocks is None or blocks.frames is None or frames < blocks.lookahead:
        return 0
    return (frames - blocks.lookahead) // blocks.frames * blocks.frames
