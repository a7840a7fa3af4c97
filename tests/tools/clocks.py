"""A clock for tests of code that waits: only the test moves it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate.benchmarks.peers.loops import LoopClock


@dataclass
class Time:
    """A clock that only the test moves; times are in nanoseconds."""

    now: int = 0
    slept: list[int] = field(default_factory=list)

    def clock(self) -> LoopClock:
        """Return the clock in the form that the loops take."""
        return LoopClock(lambda: self.now, self.sleep_until)

    def sleep_until(self, instant: int) -> None:
        """Move to an instant, unless it has passed already."""
        self.slept.append(instant)
        self.now = max(self.now, instant)

    def spend(self, took: int) -> None:
        """Let time pass."""
        self.now += took

    def step(self, took: int) -> Callable[[object], None]:
        """Return a function that takes a given time to step."""

        def step(_: object) -> None:
            self.now += took

        return step
