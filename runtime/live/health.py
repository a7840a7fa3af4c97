"""Whether an endless stream is well: its inputs and states, window by window, next to those of a healthy signal.

A profile is learned from a healthy signal: the mean and spread of each input value, and of each figure of a window the
lowest and the highest. A figure outside of that range, with a margin, in several windows in a row, is a warning.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..arrays import Floats
from ..errors import ModelError
from ..streams import Stream
from .sources.bytes_of_rows import Note

WINDOW = 100  # frames
LOOKS = 10  # at the state, in a window
IN_A_ROW = 3  # windows outside, before it is a warning
MARGIN = 0.5  # of the learned range, on each side
LEAST = 1e-6  # the spread below which an input value counts as constant


@dataclass(frozen=True)
class Profile:
    """What a healthy signal looks like.

    Attributes:
        mean: The mean of each input value.
        spread: Its standard deviation.
        ranges: The lowest and the highest of each figure of a window.
    """

    mean: list[float]
    spread: list[float]
    ranges: dict[str, tuple[float, float]]

    def to_json(self) -> str:
        """Return the profile as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Profile":
        """Read a profile.

        Raises:
            ModelError: It is none.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            ranges = {str(name): (float(low), float(high)) for name, (low, high) in fields["ranges"].items()}
            found = cls(list(map(float, fields["mean"])), list(map(float, fields["spread"])), ranges)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise ModelError("not a profile of health; write one with `tidegate live --learn-health FILE`") from None
        if len(found.mean) != len(found.spread):
            raise ModelError(
                f"profile of health: {len(found.mean)} means and {len(found.spread)} spreads; learn it again"
            )
        return found


@dataclass
class Window:
    """The frames of a window: sums of the inputs, and looks at the state on the way."""

    count: int = 0
    sums: Any = 0.0
    squares: Any = 0.0
    looks: list[dict[str, float]] = field(default_factory=list)

    def take(self, frames: Floats, stream: Stream) -> None:
        """Take frames `[frames, features]`, and look at the stream if it is time."""
        self.count += len(frames)
        self.sums = self.sums + frames.sum(0, dtype=np.float64)
        self.squares = self.squares + np.square(frames, dtype=np.float64).sum(0)
        if self.count >= WINDOW * (len(self.looks) + 1) / LOOKS and len(self.looks) < LOOKS:
            self.looks.append(dict(_state_figures(stream)))

    @property
    def mean(self) -> Any:  # noqa: ANN401  float64 [features]
        """The mean of each input value."""
        return self.sums / self.count

    @property
    def spread(self) -> Any:  # noqa: ANN401  float64 [features]
        """The standard deviation of each input value."""
        return np.sqrt(np.maximum(self.squares / self.count - self.mean**2, 0.0))

    @property
    def states(self) -> dict[str, float]:
        """The figures of the states: the means of the looks."""
        return {name: sum(look[name] for look in self.looks) / len(self.looks) for name in self.looks[0]}


def _state_figures(stream: Stream) -> Iterator[tuple[str, float]]:
    health = stream.health()
    for name, value in health.norms.items():
        yield f"norm of {name}", value
    for name, value in health.saturated.items():
        yield f"saturated share of {name}", value


def _input_figures(mean: Any, spread: Any, profile_mean: Any, profile_spread: Any) -> Iterator[tuple[str, float]]:  # noqa: ANN401
    scale = np.maximum(profile_spread, LEAST)
    yield "level of the inputs", float(np.mean((mean - profile_mean) / scale))
    yield "distance of the inputs", float(np.sqrt(np.mean(((mean - profile_mean) / scale) ** 2)))
    yield "spread of the inputs", float(np.sqrt(np.mean((spread / scale) ** 2)))


@dataclass
class Learner:
    """Learns a profile from a stream that is well."""

    whole: Window = field(default_factory=Window)
    window: Window = field(default_factory=Window)
    seen: list[tuple[Any, Any, dict[str, float]]] = field(default_factory=list)

    def take(self, frames: Floats, stream: Stream) -> None:
        """Take a chunk that was pushed."""
        self.whole.take(frames, stream)
        self.window.take(frames, stream)
        if self.window.count >= WINDOW:
            self.seen.append((self.window.mean, self.window.spread, self.window.states))
            self.window = Window()

    def profile(self) -> Profile:
        """Return the profile.

        Raises:
            ModelError: There was not one window.
        """
        if not self.seen:
            raise ModelError(f"a profile of health needs at least {WINDOW} frames, {self.whole.count} came")
        mean, spread = self.whole.mean, self.whole.spread
        figures = [states | dict(_input_figures(m, s, mean, spread)) for m, s, states in self.seen]
        ranges = {name: (min(f[name] for f in figures), max(f[name] for f in figures)) for name in figures[0]}
        return Profile(mean.tolist(), spread.tolist(), ranges)


class Watcher:
    """Warns by name when figures leave what a healthy signal had.

    Args:
        profile: What a healthy signal looks like.
        note: Takes the warnings.
    """

    def __init__(self, profile: Profile, note: Note) -> None:
        self._profile, self._note = profile, note
        self._mean, self._spread = np.asarray(profile.mean), np.asarray(profile.spread)
        self._window = Window()
        self._outside: dict[str, int] = {}

    def take(self, frames: Floats, stream: Stream) -> None:
        """Take a chunk that was pushed.

        Raises:
            ModelError: The profile is that of another model.
        """
        if frames.shape[1] != len(self._mean):
            seen = f"{len(self._mean)} input values, the model has {frames.shape[1]}"
            raise ModelError(f"profile of health: is of {seen}; learn it again")
        self._window.take(frames, stream)
        if self._window.count >= WINDOW:
            figures = self._window.states
            figures |= dict(_input_figures(self._window.mean, self._window.spread, self._mean, self._spread))
            self._window = Window()
            for name, value in figures.items():
                self._judge(name, value)

    def _judge(self, name: str, value: float) -> None:
        low, high = self._profile.ranges.get(name, (-np.inf, np.inf))
        margin = MARGIN * (high - low) + LEAST
        outside = value < low - margin or value > high + margin
        self._outside[name] = self._outside.get(name, 0) + 1 if outside else 0
        if self._outside[name] >= IN_A_ROW:
            self._note(f"health: {name}", f"health: {name} is {value:.3g}, healthy is {low:.3g} to {high:.3g}")
