"""Chunks that wait for the stream: a bounded queue, and what happens when it is full."""

from collections import deque
from dataclasses import dataclass
from typing import Literal, get_args

from ..arrays import Floats

Late = Literal["wait", "oldest", "skip"]
LATE: tuple[Late, ...] = get_args(Late)


@dataclass(frozen=True)
class Chunk:
    """Frames that are pushed together.

    Attributes:
        first: The number of the first frame.
        frames: float32 `[frames, features]`.
        due: When the last frame was there, on the machine's clock.
    """

    first: int
    frames: Floats
    due: float


class Waiting:
    """A queue of chunks with room for a number of frames.

    Args:
        most: The most frames that wait.
        late: What happens when there is no room: `wait` (the source waits), `oldest` (the oldest chunks are dropped,
            as few as needed) or `skip` (all that wait are dropped, and the stream goes on at once with the newest).
    """

    def __init__(self, most: int, late: Late) -> None:
        self.most, self.late = most, late
        self.frames = self.longest = self.dropped = self.dropped_before = 0
        self._chunks: deque[Chunk] = deque()

    def has_room(self) -> bool:
        """Return whether the source need not wait."""
        return self.late != "wait" or self.frames < self.most

    def put(self, chunk: Chunk) -> None:
        """Let a chunk wait; older ones may be dropped for it."""
        if self.late != "wait" and self.frames + len(chunk.frames) > self.most:
            while self._chunks and (self.late == "skip" or self.frames + len(chunk.frames) > self.most):
                self.dropped += len(self._pop().frames)
        self._chunks.append(chunk)
        self.frames += len(chunk.frames)
        self.longest = max(self.longest, self.frames)

    def take(self) -> Chunk | None:
        """Return the oldest chunk; None if none waits.

        `dropped_before` is then the number of frames dropped before it: chunks are dropped in order.
        """
        self.dropped_before = self.dropped
        return self._pop() if self._chunks else None

    def _pop(self) -> Chunk:
        chunk = self._chunks.popleft()
        self.frames -= len(chunk.frames)
        return chunk
