"""What clients ask of the engine and what it replies, whatever door they come through; and the limits of both."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

MOST_FRAME_NUMBER = 2**63  # frame numbers are below it: their sums fit the wire's 64 bits
MOST_ID = 64  # bytes of a stream's name


class Why(IntEnum):
    """Why a request is refused; the numbers are those of the wire. The stream is unchanged in each case."""

    format = 1  # the message cannot be read
    size = 2  # the frames have another size than the model's, or are too many
    unknown = 3  # there is no such stream: never started, ended, or idle for too long
    exists = 4  # a stream of that name is in progress
    gap = 5  # frames between the last chunk and this one are missing
    stale = 6  # the chunk was answered, and its answer is no longer kept
    values = 7  # a value in the chunk, or inside the model, is refused
    busy = 8  # too many chunks wait, or too many answers are not acknowledged: send again later
    limit = 9  # too many streams
    moved = 10  # this process gives the stream up: go on at another
    model = 11  # the stream was of another model
    missing = 12  # there is no such model
    token = 13  # who asks is not known
    late = 14  # the chunk waited longer than its client does


class Refused(Exception):  # noqa: N818  a refusal is an answer to a client, no error of the process
    """A request is refused.

    Args:
        why: The reason, for programs.
        text: The reason, for people: the thing, the value seen, the value wanted, the way out.
        frame: The number of the frame that the stream wants next, where it is known.
    """

    def __init__(self, why: Why, text: str, frame: int = 0) -> None:
        super().__init__(text)
        self.why = why
        self.frame = frame


@dataclass(slots=True)
class Reply:
    """What the engine replies to a request.

    Attributes:
        frame: The number of the chunk's first frame; in a refusal and for a question the one wanted next.
        frames: The number of frames that are answered.
        durable: Frames below this number will never be asked for again, whatever happens to this process.
        payload: The answers as float32, one output after the other.
        refused: The refusal, or None.
    """

    frame: int
    frames: int = 0
    durable: int = 0
    payload: bytes = b""
    refused: Refused | None = None


@dataclass(slots=True)
class Request:
    """A chunk of a stream, or a question about it.

    Attributes:
        owner: Whose stream it is; a stream can be reached only by its owner.
        name: The name of the stream.
        reply: Takes the reply, once; it must not raise.
        frame: The number of the chunk's first frame, from 0; None: the next one, whichever it is.
        frames: The number of frames.
        payload: The frames: float32 `[frames, features]` or int32 `[frames]`, little-endian, C order.
        got: The client holds the answers to all frames below this number; None: to all before this chunk.
        start: The chunk starts the stream.
        end: The stream ends with the chunk.
        ask: There is no chunk: where is the stream?
        sure: The store said that the stream is at home here.
        patience: Seconds that the chunk may wait for its push.
        due: When it has waited too long, by the engine's clock.
    """

    owner: str
    name: str
    reply: Callable[["Request", Reply], None]
    frame: int | None = None
    frames: int = 0
    payload: bytes = b""
    got: int | None = None
    start: bool = False
    end: bool = False
    ask: bool = False
    sure: bool = False
    patience: float = math.inf
    due: float = math.inf

    @property
    def key(self) -> tuple[str, str]:
        """What the engine finds the stream by."""
        return self.owner, self.name


@dataclass(frozen=True)
class Limits:
    """What clients may use.

    Attributes:
        streams: Streams in progress, of all owners.
        streams_of_one: Streams in progress of one owner.
        fetched: Streams that are fetched from a store at a time, also names that it does not know; at most half of
            `streams`.
        frames: Frames of a chunk.
        window: Chunks of a stream that wait or whose answers are not acknowledged.
        kept_bytes: Bytes of a stream's answers that are not acknowledged; more, and the next chunk has to wait.
        waiting_bytes: Bytes of chunks that wait, of all streams.
        idle: Seconds without a request after which a stream is given up.
        ended: Streams that have ended and whose last answers are kept.
        every: Frames of a stream between two snapshots, where there is a store.
        stored: Seconds after which the store forgets a stream that nobody went on with.
    """

    streams: int = 4096
    streams_of_one: int = 4096
    fetched: int = 512
    frames: int = 1024
    window: int = 8
    kept_bytes: int = 2**18
    waiting_bytes: int = 2**28
    idle: float = 60.0
    ended: int = 1024
    every: int = 50
    stored: float = 86400.0


def check(request: Request, limits: Limits, frame_bytes: int) -> None:
    """Refuse what no stream could take.

    Raises:
        Refused: The name, a number or a size cannot be.
    """
    if not request.name.isprintable() or not 0 < len(request.name.encode()) <= MOST_ID:
        raise Refused(Why.format, f"the name of a stream has 1 to {MOST_ID} bytes of printable UTF-8")
    if request.start and request.frame:
        raise Refused(Why.format, f"a stream starts at frame 0, not {request.frame}")
    if (request.frame or 0) >= MOST_FRAME_NUMBER or (request.got or 0) >= MOST_FRAME_NUMBER:
        raise Refused(Why.format, "frame numbers are below 2^63")
    if request.frames > limits.frames:
        raise Refused(Why.size, f"the chunk has {request.frames} frames, at most {limits.frames} are allowed")
    wanted = request.frames * frame_bytes
    if len(request.payload) != wanted:
        raise Refused(
            Why.size,
            f"the chunk has {len(request.payload)} bytes, wanted {wanted}: {request.frames} frames of {frame_bytes} "
            "bytes",
        )


@dataclass
class Counters:
    """What happened since the start.

    Attributes:
        started: Streams that started.
        ended: Streams that their clients ended.
        idle: Streams that were given up since nothing came.
        restored: Streams that went on from a store.
        fenced: Streams that another process has taken over.
        chunks: Chunks that were answered.
        frames: Frames that were answered.
        again: Chunks that were answered again.
        pushes: Calls of the group, each for several streams.
        seconds: How long these calls took together.
        cpu_seconds: Their CPU time, which other programs do not prolong.
        snapshots: Snapshots that are durable.
        store_errors: Snapshots and claims for which the store did not answer.
        swaps: Plans that were put in the place of others.
        refused: Requests that were refused, by reason.
    """

    started: int = 0
    ended: int = 0
    idle: int = 0
    restored: int = 0
    fenced: int = 0
    chunks: int = 0
    frames: int = 0
    again: int = 0
    pushes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    snapshots: int = 0
    store_errors: int = 0
    swaps: int = 0
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys((why.name for why in Why), 0))
