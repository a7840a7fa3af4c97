"""What a live stream gives: answers with their times, and figures of what happened to every frame."""

from dataclasses import dataclass, field
from typing import Any

from ..arrays import Answer
from ..errors import BackendError
from ..streams import Gap

MICROSECONDS = 1e6
LONGEST = 24 * 3600  # seconds of the longest delay that is counted
PERCENTILES = {"median": 50.0, "p99": 99.0, "p99.9": 99.9, "worst": 100.0}


def _histogram() -> Any:  # noqa: ANN401  hdrh has no types
    try:
        from hdrh.histogram import HdrHistogram
    except ImportError:
        raise BackendError("live streams need hdrhistogram; pip install 'tidegate[live]'") from None
    return HdrHistogram(1, LONGEST * 10**6, 3)


@dataclass(frozen=True)
class LiveAnswer:
    """An answer, and what the stream knows of its frames.

    Attributes:
        first: The number of the first frame of the chunk, counted from the start of the source; lost frames count too.
        frames: Frames of the chunk. 0: a model that looks ahead gives what it held back, at a gap or at the end.
        values: As from `Stream.push`.
        due: When the last frame of the chunk was there, on the machine's clock, in seconds.
        delay: Seconds from then to the answer.
        late: Whether the next chunk was due before the answer was there.
        lost: Frames that were lost just before this chunk.
        policy: What the stream did for them: `hold`, `zeros` or `reset`; None if none were lost.
    """

    first: int
    frames: int
    values: Answer
    due: float
    delay: float
    late: bool = False
    lost: int = 0
    policy: Gap | None = None


@dataclass
class Counters:
    """What happened to each frame: `next` is the sum of `answered`, `lost`, `dropped` and `refused`.

    Attributes:
        next: The number of the frame that comes next.
        answered: Frames that were pushed.
        lost: Frames that the source lost, or that lack a sample.
        dropped: Frames that were dropped because the queue was full.
        refused: Frames of chunks that the stream refused: a value is not finite.
        gaps: Runs of frames that were lost, dropped or refused.
        repeated: Samples that came twice, too late, or alone with a number far ahead, and were left out.
        on_time: Chunks answered before the next one was due.
        late: Chunks answered later.
        queue: Frames that wait.
        longest_queue: The most that waited.
        skew: How much faster than the machine's clock the source counts: 5e-5 is 50 ppm.
        switched: Whether a cheaper model took over.
        delays: The delays in microseconds, a histogram of three digits.
    """

    next: int = 0
    answered: int = 0
    lost: int = 0
    dropped: int = 0
    refused: int = 0
    gaps: int = 0
    repeated: int = 0
    on_time: int = 0
    late: int = 0
    queue: int = 0
    longest_queue: int = 0
    skew: float = 0.0
    switched: bool = False
    delays: Any = field(default_factory=_histogram, repr=False)

    def record(self, delay: float, *, late: bool) -> None:
        """Count a chunk that was answered after a delay in seconds."""
        self.late += late
        self.on_time += not late
        self.delays.record_value(min(max(int(delay * MICROSECONDS), 1), LONGEST * 10**6))

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, the delays as percentiles in seconds."""
        found = {name: self.delays.get_value_at_percentile(p) / MICROSECONDS for name, p in PERCENTILES.items()}
        return vars(self) | {"delays": found}
