"""When the rows of a value come, where a model looks ahead. The engine's own are in kernels/src/clocks.h.

A causal operation makes a row for each that it reads. One that looks some frames ahead makes its rows so many later,
and a backward cell makes those of a block when the block and its lookahead are complete: its value has another clock.
Values of one clock have as many rows as each other at every moment of a stream.
"""

from dataclasses import dataclass, replace
from typing import Optional

from .contract import Blocks


@dataclass(frozen=True)
class Clock:
    """When rows come.

    Attributes:
        parent: The clock whose rows are put into blocks; None: this one follows the input frame by frame.
        delay: Rows behind that.
    """

    parent: Optional["Clock"] = None
    delay: int = 0

    def behind(self, frames: int) -> "Clock":
        """Return the clock so many rows later."""
        return replace(self, delay=self.delay + frames)

    def in_blocks(self) -> "Clock":
        """Return the clock of blocks of these rows."""
        return Clock(self)

    def leads(self, other: "Clock") -> bool:
        """Return whether this clock never has fewer rows than another."""
        while other.parent != self.parent:
            if other.parent is None:
                return False
            other = other.parent
        return self.delay <= other.delay

    def rows(self, frames: int, blocks: Blocks | None) -> int:
        """Return the rows that there are when the stream has consumed `frames` and may go on."""
        if self.parent is not None:
            frames = _in_blocks(self.parent.rows(frames, blocks), blocks)
        return max(frames - self.delay, 0)

    def lag(self, blocks: Blocks | None) -> int | None:
        """Return the most rows that it is behind the input; None: the whole stream."""
        if self.parent is None:
            return self.delay
        before = self.parent.lag(blocks)
        if before is None or blocks is None or blocks.frames is None:
            return None
        return before + blocks.frames - 1 + blocks.lookahead + self.delay


def _in_blocks(rows: int, blocks: Blocks | None) -> int:
    """Return the rows of the blocks that are complete."""
    if blocks is None or blocks.frames is None or rows < blocks.lookahead:
        return 0
    return (rows - blocks.lookahead) // blocks.frames * blocks.frames
