"""Notices: what went wrong while a stream runs, in few lines however often it happens, with exact counts."""

from collections import Counter, deque

from .clock import REAL, Clock

PAUSE = 10.0  # seconds between two lines of one kind
KEPT = 64  # lines that wait to be read


class Notices:
    """Takes notes from any thread and gives lines to the thread that prints them. Taking a note writes nothing.

    The first note of a kind is a line at once; then there is at most one line in ten seconds, with the number of those
    that were left out.
    """

    def __init__(self, clock: Clock = REAL) -> None:
        self._clock = clock
        self._last: dict[str, tuple[float, int]] = {}  # when a kind had a line, and how many notes there were then
        self._lines: deque[str] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()

    def __call__(self, kind: str, text: str) -> None:
        """Take a note."""
        self.counts[kind] += 1
        now, count = self._clock.now(), self.counts[kind]
        last, counted = self._last.get(kind, (-PAUSE, 0))
        if now - last >= PAUSE:
            left_out = count - counted - 1
            self._lines.append(text + (f" ({left_out} more of this kind before)" if left_out else ""))
            self._last[kind] = now, count

    def lines(self) -> list[str]:
        """Return the lines that are new."""
        found = []
        while self._lines:
            found.append(self._lines.popleft())
        return found
