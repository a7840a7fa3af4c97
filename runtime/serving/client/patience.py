"""How long a client tries, where, and how long it waits between two tries."""

import random
import time
from collections.abc import Callable, Sequence

from ...errors import ServerError

FIRST, MOST = 0.05, 1.0  # seconds between two tries; doubled each time
WAYS_OUT = {  # by the words of a failed handshake
    "HTTP 401": "; give a token that the server knows",
    "HTTP 404": "; end the address with a model that the server has",
    "valid HTTP response": "; begin the address with wss:// if the server has TLS, else with ws://",
}


class Patience:
    """Counts the tries of one call.

    Args:
        addresses: Where servers are; all hold the same streams.
        seconds: How long a call may take until it fails.
        clock: Gives the time in seconds.

    Raises:
        ServerError: There is no address.
    """

    def __init__(
        self, addresses: str | Sequence[str], seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not addresses:
            raise ServerError("there is no address of a server, wanted one or more, e.g. ws://127.0.0.1:8002/watch")
        self._addresses = (addresses,) if isinstance(addresses, str) else tuple(addresses)
        self._seconds, self._clock = seconds, clock
        self._place, self._pause, self._start = 0, FIRST, clock()
        self._why = ""  # of the failed tries of this call

    @property
    def address(self) -> str:
        """The server to try."""
        return self._addresses[self._place % len(self._addresses)]

    @property
    def left(self) -> float:
        """Seconds that one try has: those left, at most a third of all, so that another server has its turn."""
        return min(max(self._start + self._seconds - self._clock(), 0.1), self._seconds / 3)

    def begin(self) -> None:
        """Begin another call."""
        self._start, self._pause, self._why = self._clock(), FIRST, ""

    def pause(self, error: Exception, *, elsewhere: bool) -> float:
        """Return how many seconds to wait after a failed try; the next is at another server if wanted.

        Raises:
            ServerError: The time is over.
        """
        why = str(error) or type(error).__name__
        if not self._why or "timed out" not in why:  # the last try has little time, and says less than one before
            self._why = why
        if self._clock() - self._start > self._seconds:
            tried = ", ".join(self._addresses)
            way_out = "".join(text for words, text in WAYS_OUT.items() if words in self._why)
            raise ServerError(f"no answer within {self._seconds:g} seconds from {tried}: {self._why}{way_out}")
        self._place += elsewhere
        pause, self._pause = self._pause, min(2 * self._pause, MOST)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311  spreads clients, and is no secret
