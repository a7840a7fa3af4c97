"""A source that dies and comes back: it is opened again, and the time between is a gap."""

import threading
from collections.abc import Callable, Iterator

from ..clock import REAL, Clock
from .bytes_of_rows import Note, quiet
from .source import Block, Source

PAUSE = 0.5  # seconds between two attempts


class Reopening:
    """A source that is opened again when it ends or fails, until it was gone for too long.

    Args:
        source: The source; each call of its `blocks` opens it.
        patience: Seconds that it may be gone. After these it ends, or its error is raised.
        rate_of: Returns rows per second of rows of so many values, or None: then a gap counts one row.
        note: Takes when it went and when it came back.
        clock: The machine's clock.
    """

    def __init__(
        self,
        source: Source,
        patience: float,
        rate_of: Callable[[int], float | None],
        note: Note = quiet,
        clock: Clock = REAL,
    ) -> None:
        self.name, self.rate, self.waits, self.comes = source.name, source.rate, source.waits, source.comes
        self._source, self._patience, self._rate_of = source, patience, rate_of
        self._note, self._clock = note, clock
        self._closed = threading.Event()
        self._start: float | None = None  # when the first row was due
        self._next = 0

    def blocks(self, rows: int) -> Iterator[Block]:
        """Give the rows in order; see `Source.blocks`."""
        gone: float | None = None
        while not self._closed.is_set():
            error, first = None, self._next
            try:
                for block in self._renumbered(rows):
                    gone = None
                    yield block
            except OSError as caught:
                error = caught
            if self._next > first:
                gone = None
            now = self._clock.now()
            gone = now if gone is None else gone
            if self._closed.is_set() or now - gone >= self._patience:
                if error is not None and not self._closed.is_set():
                    raise error
                return
            self._note("gone", f"{error or f'{self.name}: ended'}; is opened again for {self._patience:g} s")
            self._clock.sleep(PAUSE)

    def close(self) -> None:
        """Let the source go."""
        self._closed.set()
        self._source.close()

    def _renumbered(self, rows: int) -> Iterator[Block]:
        """Give the rows of one life of the source, by their place in the whole signal."""
        base: int | None = None
        for block in self._source.blocks(rows):
            if base is None:
                base = self._place(block) - block.at
            self._next = base + block.at + len(block.rows)
            yield Block(base + block.at, block.rows)

    def _place(self, block: Block) -> int:
        """Return the place of the first rows of a life, which came now."""
        rate, now = self._rate_of(block.rows.shape[1]), self._clock.now()
        if self._start is None:
            self._start = now - len(block.rows) / (rate or 1.0)
            return 0
        self._note("back", f"{self.name}: is back")
        by_clock = round((now - self._start) * rate) - len(block.rows) if rate else 0
        return max(by_clock, self._next + 1)
