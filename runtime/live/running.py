"""A stream that runs live: each frame of a source is answered, late, lost or refused, and never forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Self

from ..arrays import Answer, Array, Floats
from ..errors import ChunkError, StateError
from ..streams import Gap, Model, Stream, apart
from .answers import Counters, LiveAnswer
from .clock import REAL, Clock
from .feeds import Chunker, Feed
from .waiting import Chunk, Waiting

WATCHED = 50  # chunks among which late ones are counted
MOST_ZEROS = 2**24  # frames, two days at 100 per second; a longer gap resets the stream
MANY = 0.1  # the share of late chunks at which a cheaper model is asked for

Degrade = Callable[[Counters], Model | None]
Watch = Callable[[Floats, Stream], None]
"""Takes each chunk `[frames, features]` that was pushed, and the stream after it."""


class Live:
    """A source that streams through a model: iterate over it, also with `async for`, and `close` it or use `with`.

    Args:
        model: The model.
        feed: Chunks of its frames.
        waiting: The queue of the feed.
        chunker: What makes the chunks of the feed.
        gap: What the stream does where frames were lost.
        clock: The machine's clock.
        degrade: Called with the counters when many answers are late, until it returns a cheaper model to go on with.
        watch: Takes each chunk that was pushed, and the stream.
    """

    def __init__(  # noqa: PLR0917  made by `live`
        self,
        model: Model,
        feed: Feed,
        waiting: Waiting,
        chunker: Chunker,
        gap: Gap,
        clock: Clock = REAL,
        degrade: Degrade | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._model, self._feed, self._waiting, self._chunker = model, feed, waiting, chunker
        self._gap, self._clock, self._degrade, self._look = gap, clock, degrade, watch
        self._pieces = model.contract.pieces
        self._stream = model.stream()
        self._counters = Counters()
        self._lost = 0  # frames since the last answer
        self._done: Gap | None = None  # what was done for them
        self._watched = (0, 0)  # chunks and late ones
        self._answers = self._all()

    @property
    def stream(self) -> Stream:
        """The stream, e.g. for its state; not while an answer is awaited."""
        return self._stream

    @property
    def model(self) -> Model:
        """The model that answers now."""
        return self._model

    @property
    def counters(self) -> Counters:
        """What happened to each frame so far."""
        counters, waiting = self._counters, self._waiting
        counters.queue, counters.longest_queue = waiting.frames, waiting.longest
        counters.repeated, counters.skew = self._chunker.repeated, self._chunker.clock.skew
        return counters

    def __iter__(self) -> Iterator[LiveAnswer]:
        return self

    def __next__(self) -> LiveAnswer:
        return next(self._answers)

    def __aiter__(self) -> AsyncIterator[LiveAnswer]:
        return self

    async def __anext__(self) -> LiveAnswer:
        found = await asyncio.to_thread(next, self._answers, None)
        if found is None:
            raise StopAsyncIteration
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the source go. Later answers do not come."""
        self._feed.close()

    def _settle(self) -> None:
        """Count what was dropped or refused after the last chunk that was pushed."""
        counters = self._counters
        counters.dropped = self._waiting.dropped
        counters.next = counters.answered + counters.lost + counters.dropped + counters.refused

    def _all(self) -> Iterator[LiveAnswer]:
        while (chunk := self._feed.take()) is not None:
            yield from self._answered(chunk)
        self._settle()
        if not self._stream.finished and (rest := self._stream.finish()) is not None:
            yield self._without_chunk(rest)

    def _answered(self, chunk: Chunk) -> Iterator[LiveAnswer]:
        counters, frames = self._counters, len(chunk.frames)
        if chunk.first != counters.next:
            yield from self._skip(chunk.first - counters.next)
        refused = self._stream.refused
        try:
            values = self._stream.push(apart(self._pieces, self._shaped(chunk)))
        except ChunkError:
            if self._stream.refused == refused:
                raise  # not for a value
            counters.refused += frames  # a gap: the next chunk comes later than it should
            return
        delay = self._clock.now() - chunk.due
        late = delay > self._period(chunk)
        counters.next = chunk.first + frames
        counters.answered += frames
        counters.record(delay, late=late)
        if self._look is not None:
            self._look(chunk.frames, self._stream)
        lost, self._lost = self._lost, 0
        policy, self._done = self._done, None
        yield LiveAnswer(chunk.first, frames, values, chunk.due, delay, late, lost, policy)
        self._watch(late=late)

    def _shaped(self, chunk: Chunk) -> Array:
        shape = self._model.frame_shape
        return chunk.frames if len(shape) < 2 else chunk.frames.reshape(-1, *shape)

    def _period(self, chunk: Chunk) -> float:
        """Return the time until the next chunk is due."""
        frame = self._chunker.frame_seconds
        return float("inf") if frame is None or not self._chunker.timed else len(chunk.frames) * frame

    def _skip(self, lost: int) -> Iterator[LiveAnswer]:
        """Tell the stream of a gap before the next chunk; what was held back before it comes now."""
        counters = self._counters
        counters.gaps += not self._lost
        self._lost += lost
        counters.dropped = self._waiting.dropped_before
        counters.lost = counters.next + lost - counters.answered - counters.dropped - counters.refused
        counters.next += lost
        self._done = "reset" if self._gap == "zeros" and lost > MOST_ZEROS else self._gap
        rest = self._stream.skip(lost, self._done)
        if rest is not None and self._model.contract.looks_ahead:
            yield self._without_chunk(rest)

    def _without_chunk(self, values: Answer) -> LiveAnswer:
        now = self._clock.now()
        return LiveAnswer(self._counters.next, 0, values, now, 0.0)

    def _watch(self, *, late: bool) -> None:
        """Ask for a cheaper model when many of the last chunks were late."""
        chunks, misses = self._watched
        chunks, misses = chunks + 1, misses + late
        if chunks == WATCHED:
            if misses > MANY * WATCHED and self._degrade is not None:
                self._switch(self._degrade(self.counters))
            chunks = misses = 0
        self._watched = chunks, misses

    def _switch(self, model: Model | None) -> None:
        """Go on with another model, from the state of this one."""
        if model is None:
            return
        try:
            self._stream = model.stream(self._stream.state())
        except StateError as error:
            raise StateError(f"the cheaper model has other states: {error}") from None
        self._model, self._counters.switched, self._degrade = model, True, None
