"""Live: from the name of a source to answers on time."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ..arrays import Array
from ..errors import ChunkError
from ..streams import GAPS, Gap, Model
from .clock import REAL, Clock
from .converting import framing_of
from .feeds import Chunker, Direct, Feed, Threaded
from .realtime import prepare
from .running import Degrade, Live, Watch
from .sources.bytes_of_rows import Note, quiet
from .sources.opening import open_source
from .sources.pcm import Form
from .sources.pipe import StandardInput
from .sources.reopening import Reopening
from .sources.sockets import Udp
from .sources.source import Arrays, Block, Source
from .waiting import LATE, Late, Waiting

Choice = TypeVar("Choice", bound=str)
SECONDS = 1.0  # of signal that may wait
FEWEST = 16  # chunks that may wait


def live(
    model: Model,
    source: str | os.PathLike[str] | Array | Iterable[Array | Block] | Source,
    *,
    chunk: int = 1,
    form: str = "text",
    rate: float | None = None,
    channels: int = 1,
    pick: Sequence[int] = (),
    scale: float | None = None,
    pace: bool = False,
    late: Late | str | None = None,
    gap: Gap | str = "reset",
    queue: int | None = None,
    degrade: Degrade | None = None,
    reopen: float = 0.0,
    realtime: bool = False,
    watch: Watch | None = None,
    note: Note = quiet,
    clock: Clock = REAL,
) -> Live:
    """Stream from a source, and answer each chunk on time.

    Args:
        model: The model.
        source: `mic`, the path of a file, `-`, `tcp://host:port`, `udp://host:port`, `serial:device`; or an array or an
            iterator of arrays of rows; see docs/live.md.
        chunk: Frames of a push.
        form: How numbers are written in pipes, sockets and lines: `text`, a row per line, or a raw format such as
            `s16le` or `f32le`.
        rate: Rows per second of the source, where it does not say it. Samples are resampled to the model's rate.
        channels: Channels of raw numbers.
        pick: The channels to take, counted from 0; empty: all.
        scale: What each number is multiplied with; None: integers become -1 to 1.
        pace: Whether a file or an iterator comes at the speed of time; else as fast as it goes.
        late: What happens when the queue is full: `wait` (the source waits), `oldest` (the oldest chunks are dropped)
            or `skip` (all that wait are dropped). None: `wait` if the source can, else `oldest`.
        gap: What the stream does where frames were lost: `hold`, `zeros` or `reset`; see `Stream.skip`.
        queue: The most frames that wait; None: those of one second, and at least 16 chunks.
        degrade: Called with the counters when more than a tenth of 50 chunks is late; may return a cheaper model with
            the same states, which goes on.
        reopen: Seconds for which a connection, a line or a microphone that is gone is opened again; what it would have
            given meanwhile, by the clock, is a gap. 0: it ends the stream.
        realtime: Whether to lock the memory of the process, raise its priority and freeze the garbage collector. What
            the system refuses is a note.
        watch: Called with each chunk that was pushed, float32 `[frames, features]`, and the stream after it: the `take`
            of a `health.Watcher` or `health.Learner`.
        note: Called with the kind of a fault and a line about it.
        clock: The machine's clock.

    Raises:
        ChunkError: There is no such source, or its rows are no frames of the model.
        BackendError: A package that the source needs is not installed.
        OSError: The source cannot be opened.
    """
    policy = chosen("gap", gap, GAPS)
    found = _source(source, Form(form, channels, scale), rate, note)
    if reopen:
        found = Reopening(_may_reopen(found), reopen, _rate_of(model, found, pick), note, clock)
    try:
        if realtime:
            prepare(model, chunk, note)
        chunker = Chunker(model, found, chunk, pick, timed=pace or found.comes)
        waiting = Waiting(_room(model, chunk, queue), _policy(found, late, pace=pace))
    except BaseException:
        found.close()
        raise
    feed: Feed
    if found.comes:
        feed = Threaded(found, chunker, waiting, clock)
    else:
        feed = Direct(found, chunker, waiting, clock, paced=pace)
    return Live(model, feed, waiting, chunker, policy, clock, degrade, watch)


def _room(model: Model, chunk: int, queue: int | None) -> int:
    """Return the most frames that wait."""
    if queue is not None:
        return queue
    seconds = model.contract.frame_seconds
    return max(round(SECONDS / seconds) if seconds else 0, FEWEST * chunk)


def _source(source: object, form: Form, rate: float | None, note: Note) -> Source:
    if isinstance(source, str | os.PathLike):
        return open_source(source, form, rate, note)
    if isinstance(source, Source):
        return source
    if isinstance(source, Iterable):
        return Arrays(source, rate)
    raise ChunkError(f"{type(source).__name__} is no source; wanted a name, an array or an iterator of arrays")


def _may_reopen(source: Source) -> Source:
    """Refuse a source that does not come back."""
    if not source.comes or isinstance(source, StandardInput | Udp):
        source.close()
        raise ChunkError(f"{source.name}: cannot be opened again; leave reopen out")
    return source


def _rate_of(model: Model, source: Source, pick: Sequence[int]) -> Callable[[int], float | None]:
    """Return a function from the values of a row to the rows per second."""

    def rate_of(values: int) -> float | None:
        return source.rate or framing_of(model, len(pick) or values, source.name).rate

    return rate_of


def _policy(source: Source, late: str | None, *, pace: bool) -> Late:
    """Return what happens when the queue is full."""
    if late is None:
        return "wait" if source.waits else "oldest"
    policy = chosen("late", late, LATE)
    if policy == "wait" and not source.waits:
        raise ChunkError(f"{source.name}: does not wait, and what nobody reads is lost; choose late oldest or skip")
    if policy != "wait" and not source.comes and not pace:
        raise ChunkError(f"{source.name}: is read as fast as it goes, so nothing is ever late; pace it, or wait")
    return policy


def chosen(option: str, value: str, of: Sequence[Choice]) -> Choice:
    """Return one of the values that an option may have.

    Raises:
        ChunkError: It is none of them.
    """
    for each in of:
        if value == each:
            return each
    raise ChunkError(f"{option} is {value!r}, wanted {', '.join(map(str, of))}")
