"""Feeds: chunks of frames from a source, at the time of the source, through the queue."""

import threading
from collections.abc import Iterator, Sequence
from typing import Protocol

from ..errors import TidegateError
from ..streams import Model
from .clock import REAL, Clock, SampleClock
from .converting import Framer, Framing, InOrder, Resampler, framing_of, picked
from .sources.source import Block, Source
from .waiting import Chunk, Waiting

PATIENCE = 0.2  # seconds after which a waiting thread looks whether it was stopped


class Chunker:
    """Turns the blocks of a source into chunks for the model: order, channels, rate, frames, and when they were due.

    Args:
        model: The model.
        source: The source.
        chunk: Frames of a chunk.
        channels: The channels to take; empty: all.
        timed: Whether the rows come at their own time; else each is due when it is read.
    """

    def __init__(
        self, model: Model, source: Source, chunk: int, channels: Sequence[int] = (), *, timed: bool = True
    ) -> None:
        self._model, self._source, self._channels, self._chunk = model, source, channels, chunk
        self.timed = timed
        self._order = InOrder()
        self._framing: Framing | None = None
        self._resampler: Resampler | None = None
        self._framer = Framer(1, chunk)
        self.clock = SampleClock()
        self.frame_seconds = model.contract.frame_seconds

    @property
    def repeated(self) -> int:
        """Rows that came twice or too late."""
        return self._order.repeated

    @property
    def block(self) -> int:
        """Rows that make a chunk, before the first of them is known: what to ask the source for."""
        wanted, rate = self._model.contract.sample_rate, self._source.rate
        rows = self._chunk * (self._model.contract.hop or 1)
        return rows if rate is None or wanted is None else max(round(rows * rate / wanted), 1)

    def seconds(self, row: int) -> float | None:
        """Return the moment of a row of the source in seconds of the signal; None if no rate is known."""
        rate = self._source.rate or (self._framing.rate if self._framing else None)
        return None if rate is None else row / rate

    def take(self, block: Block, now: float) -> Iterator[Chunk]:
        """Give the chunks that are whole with a block, which came at a time."""
        new = self._order.take(block)
        if new is None:
            return
        self.meet(block)
        rows = picked(new.rows, self._channels, self._source.name)
        seconds = self.seconds(new.at + len(rows))
        if seconds is not None:
            self.clock.heard(seconds, now)
        for converted in self._converted(Block(new.at, rows)):
            yield from self._chunks(self._framer.take(converted), now)

    def finish(self, now: float) -> Iterator[Chunk]:
        """Give what waited for later rows, at the end."""
        for converted in self._resampler.finish() if self._resampler else ():
            yield from self._chunks(self._framer.take(converted), now)
        yield from self._chunks(self._framer.finish(), now)

    def meet(self, block: Block) -> None:
        """Decide by the first block how rows become frames."""
        if self._framing is not None:
            return
        values = picked(block.rows[:1], self._channels, self._source.name).shape[1]
        self._framing = framing = framing_of(self._model, values, self._source.name)
        self._framer = Framer(framing.rows, self._chunk)
        source, wanted = self._source.rate, framing.rate
        if source is not None and wanted is not None and source != wanted:
            self._resampler = Resampler(source, wanted, values)

    def _converted(self, block: Block) -> Iterator[Block]:
        return iter((block,)) if self._resampler is None else self._resampler.take(block)

    def _chunks(self, blocks: Iterator[Block], now: float) -> Iterator[Chunk]:
        for block in blocks:
            due = now
            if self.timed and self.frame_seconds is not None:
                due = min(self.clock.due((block.at + len(block.rows)) * self.frame_seconds), now)
            yield Chunk(block.at, block.rows, due)


class Feed(Protocol):
    """Chunks in order, from a source."""

    def take(self) -> Chunk | None:
        """Return the next chunk when it is there; None at the end."""

    def close(self) -> None:
        """Stop, and let the source go."""


class Direct:
    """A feed that asks its source when the stream wants a chunk: as fast as it goes, or at the speed of time.

    At the speed of time a block comes when its last row was due. What came while the stream was busy waits in the
    queue, as it would in another thread. So a test that moves the clock by hand sees what a busy machine would do.
    """

    def __init__(self, source: Source, chunker: Chunker, waiting: Waiting, clock: Clock, *, paced: bool) -> None:
        self._source, self._chunker, self._waiting, self._clock = source, chunker, waiting, clock
        self._paced = paced
        self._blocks = source.blocks(chunker.block)
        self._start: float | None = None
        self._next: Block | None = None
        self._ended = False

    def take(self) -> Chunk | None:
        """Return the next chunk; see `Feed.take`."""
        self._arrive()
        while (chunk := self._waiting.take()) is None and not self._ended:
            if self._paced and (wait := self._due() - self._clock.now()) > 0:
                self._clock.sleep(wait)
            self._arrive(least=1)
        return chunk

    def close(self) -> None:
        """Let the source go."""
        self._source.close()

    def _arrive(self, least: int = 0) -> None:
        """Put into the queue what came up to now, and at least so many blocks."""
        while not self._ended and (least > 0 or (self._paced and self._due() <= self._clock.now())):
            if not self._waiting.has_room():
                return
            self._fetch()
            if self._next is None:
                return
            block, self._next = self._next, None
            for chunk in self._chunker.take(block, self._clock.now()):
                self._waiting.put(chunk)
            least -= 1

    def _fetch(self) -> None:
        """Have the next block at hand, or end."""
        if self._next is None and not self._ended:
            self._next = next(self._blocks, None)
            if self._next is not None:
                self._chunker.meet(self._next)
            else:
                self._ended = True
                for chunk in self._chunker.finish(self._clock.now()):
                    self._waiting.put(chunk)

    def _due(self) -> float:
        """Return when the next block comes."""
        self._fetch()
        if self._start is None:
            self._start = self._clock.now()
        if self._next is None:
            return 0.0
        return self._start + (self._chunker.seconds(self._next.at + len(self._next.rows)) or 0.0)


class Threaded:
    """A feed for a source that comes at its own time: a thread fetches its blocks."""

    def __init__(self, source: Source, chunker: Chunker, waiting: Waiting, clock: Clock = REAL) -> None:
        self._source, self._chunker, self._waiting, self._clock = source, chunker, waiting, clock
        self._change = threading.Condition()
        self._ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._fetch_all, name=f"tidegate {source.name}", daemon=True)
        self._thread.start()

    def take(self) -> Chunk | None:
        """Return the next chunk; see `Feed.take`.

        Raises:
            TidegateError: What the source gave cannot be used.
            OSError: The source is gone.
        """
        with self._change:
            while (chunk := self._waiting.take()) is None and not self._ended:
                self._change.wait(PATIENCE)  # so that an interrupt comes through
            self._change.notify_all()
        if chunk is None and self._error is not None:
            raise self._error
        return chunk

    def close(self) -> None:
        """Stop the thread, and let the source go."""
        with self._change:
            self._ended = True
            self._change.notify_all()
        self._source.close()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=2.0)

    def _fetch_all(self) -> None:
        try:
            for block in self._source.blocks(self._chunker.block):
                now = self._clock.now()
                with self._change:
                    self._put(self._chunker.take(block, now))
                    if self._ended:
                        return
            with self._change:
                self._put(self._chunker.finish(self._clock.now()))
        except (TidegateError, OSError, ValueError) as error:
            self._error = error
        finally:
            with self._change:
                self._ended = True
                self._change.notify_all()

    def _put(self, chunks: Iterator[Chunk]) -> None:
        for chunk in chunks:
            while not self._waiting.has_room() and not self._ended:
                self._change.wait(PATIENCE)
            self._waiting.put(chunk)
            self._change.notify_all()
