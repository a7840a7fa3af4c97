"""An engine in an event loop: each round of the loop, what came in by any door is pushed together."""

import asyncio
from contextlib import suppress

from .engine import Engine
from .requests import Request

COMPANY = 64  # streams in progress from which a push waits for the chunks of others
PAUSE = 0.008  # seconds between two pushes then: 500 streams cost 67 us a chunk besides the engine at 2 ms, 60 at 8


class Ticker:
    """Gives requests to an engine, and lets it tick while chunks wait.

    The loop reads every socket that is ready before it comes to the tick, and with many streams a tick keeps a distance
    from the last. So under load more chunks share a push, and an idle engine answers at once.

    Args:
        engine: The engine; from now on only this loop's thread uses it.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._loop = asyncio.get_running_loop()
        self._planned = False
        self._next = 0.0

    def submit(self, request: Request) -> None:
        """Give a request to the engine, as `Engine.submit` does."""
        self.engine.submit(request)
        if self.engine.waits and not self._planned:
            self._plan()

    def wake(self) -> None:
        """Let the engine take in what the store has answered; called from any thread."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        self.engine.collect()
        if self.engine.waits and not self._planned:
            self._plan()

    def _plan(self) -> None:
        self._planned = True
        if self.engine.streams < COMPANY:
            self._loop.call_soon(self._tick)
        else:
            self._loop.call_at(self._next, self._tick)

    def _tick(self) -> None:
        self._planned = False
        self._next = self._loop.time() + PAUSE
        self.engine.tick()
        if self.engine.waits:
            self._plan()
