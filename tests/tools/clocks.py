"""A clock for tests of what waits: it moves when it is told to."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate.benchmarks.peers.loops import LoopClock


@dataclass
class Time:
    """A clock that moves when it is told to."""

    now: int = 0
    slept: list[int] = field(default_factory=list)

    def clock(self) -> LoopClock:
        """Return it as the loops take it."""
        return LoopClock(lambda: self.now, self.sleep_until)

    def sleep_until(self, instant: int) -> None:
        """Move to an instant, unless it is past."""
        self.slept.append(instant)
        self.now = max(self.now, instant)

    def spend(self, took: int) -> None:
        """Let a time pass."""
        self.now += took

    def step(self, took: int) -> Callable[[object], None]:
        """Return a stepper that takes a time."""

        def step(_: object) -> None:
            self.now += took

        return step
