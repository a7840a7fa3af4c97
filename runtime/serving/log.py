"""What happens in a server, as lines of JSON: few of a kind, with exact counts, and nothing that users sent."""

import json
import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from .engine import Engine

PAUSE = 10.0  # seconds between two lines of a kind
MOST_TEXT = 500  # characters of a field
MOST_KINDS = 100  # of warnings; what comes after them is one more kind
NOTED = ("idle", "restored", "fenced", "store_errors")  # counters whose growth is told


class Log:
    """Lines of JSON.

    Args:
        out: Where they go; None: nowhere.
        clock: Gives the time in seconds, for the pauses.
    """

    def __init__(self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._out, self._clock = out, clock
        self._told: Counter[tuple[str, ...]] = Counter()  # of each kind, the count of its last line
        self._when: dict[tuple[str, ...], float] = {}

    def line(self, event: str, **fields: object) -> None:
        """Write a line; texts are cut off, and control characters cannot break it. Nobody has to read it."""
        if self._out is None:
            return
        cut = {name: value[:MOST_TEXT] if isinstance(value, str) else value for name, value in fields.items()}
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        with suppress(OSError, ValueError):
            self._out.write(json.dumps({"time": when, "event": event, **cut}) + "\n")
            self._out.flush()

    def count(self, total: int, event: str, last: bool = False, **names: str) -> None:
        """Tell how often something happened since the start, if it grew; a line of a kind comes once in a pause.

        Args:
            total: How often it happened since the start.
            event: What.
            last: The server stops: what was not told yet is told now.
            names: What makes it one kind.
        """
        kind, now = (event, *names.values()), self._clock()
        grown = total - self._told[kind]
        if not grown or not (last or now - self._when.get(kind, -PAUSE) >= PAUSE):
            return
        self._told[kind], self._when[kind] = total, now
        self.line(event, **names, count=grown, total=total)

    def counters(self, engines: Mapping[str, Engine], *, last: bool = False) -> None:
        """Tell the counters that grew: what was refused and why, what was given up, and what the store did not do."""
        for model, engine in engines.items():
            for event, total, names in _noted(engine):
                self.count(total, event, last, model=model, **names)


class Handler(logging.Handler):
    """Takes warnings of the server libraries: their kind, in which there is nothing that a client made.

    Args:
        log: Takes the lines.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._seen: Counter[tuple[str, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Count a warning, and tell it if it is time."""
        kind = record.name, _kind(record)
        if kind not in self._seen and len(self._seen) >= MOST_KINDS:
            kind = "", "others"
        self._seen[kind] += 1
        self._tell(kind)

    def finish(self) -> None:
        """Tell what was not told yet."""
        for kind in self._seen:
            self._tell(kind, last=True)

    def _tell(self, kind: tuple[str, str], *, last: bool = False) -> None:
        self._log.count(self._seen[kind], "warning", last, source=kind[0], text=kind[1])


@contextmanager
def warnings_in(log: Log) -> Iterator[None]:
    """Take the warnings of all server libraries into a log meanwhile."""
    handler = Handler(log)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.finish()


def _kind(record: logging.LogRecord) -> str:
    """Return the text before anything is filled in; if that cannot be told, the error and its place in the source.

    grpcio puts names of methods, which are texts of clients, into texts without arguments.
    """
    told = record.exc_info[1] if record.exc_info else None
    error = record.msg if isinstance(record.msg, BaseException) else told
    if record.args or error is None:
        return str(record.msg).partition("\n")[0][:MOST_TEXT]
    places = traceback.extract_tb(error.__traceback__)
    return type(error).__name__ + "".join(f" at {Path(at.filename).name}:{at.lineno}" for at in places[-1:])


def _noted(engine: Engine) -> Iterator[tuple[str, int, dict[str, str]]]:
    for name in NOTED:
        yield name, getattr(engine.counters, name), {}
    for why, total in engine.counters.refused.items():
        yield "refused", total, {"why": why}
