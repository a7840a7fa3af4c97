"""Two clocks: that of the machine, and that of the signal, which counts samples."""

import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW = 10.0  # seconds in which the earliest arrival counts


@dataclass(frozen=True)
class Clock:
    """The clock of the machine.

    Attributes:
        now: Returns seconds that never go back, also where somebody sets the time of day.
        sleep: Waits for a number of seconds.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


REAL = Clock()


class SampleClock:
    """When each moment of a signal is due, by the arrivals that were delayed least.

    A sound card's seconds are not those of the machine: 50 ppm are 4.3 seconds a day. So the moments follow the
    source: nothing is dropped or inserted, and the difference is a figure.
    """

    def __init__(self) -> None:
        self._earliest: float | None = None  # of the window before
        self._window = (0.0, float("inf"))  # start and the earliest arrival of this window
        self._first: tuple[float, float] | None = None  # when, and the earliest arrival of the first window
        self._latest: tuple[float, float] | None = None

    def heard(self, seconds: float, now: float) -> None:
        """Note that the signal had come up to a moment.

        Args:
            seconds: The moment, in seconds of the signal.
            now: The machine's time.
        """
        start, least = self._window
        if now - start >= WINDOW and least != float("inf"):
            self._earliest, self._latest = least, (start, least)
            self._first = self._first or self._latest
            start, least = now, float("inf")
        elif least == float("inf"):
            start = now
        self._window = start, min(least, now - seconds)

    def due(self, seconds: float) -> float:
        """Return the machine's time at a moment of the signal."""
        least = self._window[1]
        return seconds + (least if self._earliest is None else min(least, self._earliest))

    @property
    def skew(self) -> float:
        """How much faster than the machine's clock the source counts, e.g. 5e-5 for 50 ppm; 0 in the first windows."""
        if self._first is None or self._latest is None or self._latest[0] == self._first[0]:
            return 0.0
        return (self._first[1] - self._latest[1]) / (self._latest[0] - self._first[0])
