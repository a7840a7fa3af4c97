"""Whether an endless stream is well: its inputs and states next to those of a healthy signal.

A profile is learned from a healthy signal: of each figure the lowest and the highest. A figure outside of that range,
with a margin, several times in a row, is a warning. Figures of the inputs are over many frames, and of the loud ones,
so that a pause is not taken for a gain that is too low.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..arrays import Floats
from ..errors import ModelError
from ..streams import Stream
from .sources.bytes_of_rows import Note

BLOCK = 100  # frames
SPAN = 30  # blocks that figures of the inputs are over
LOOKS = 10  # at the state, in a block
IN_A_ROW = 3  # blocks outside, before it is a warning
MARGIN = 0.5  # of the learned range, on each side
LOUD = 90  # percent of the frames that are quieter than the loudness
PACE = 0.04  # seconds between the frames that the pace compares: about a third of a syllable
LOUDNESS, TEMPO = "loudness of the inputs", "pace of the inputs"
LEAST = {LOUDNESS: 3.0, TEMPO: 0.5}  # the margin at least, in dB; other figures: LEAST_OF_OTHERS
LEAST_OF_OTHERS = 1e-6
SILENCE, NO_CHANGE = 1e-9, 1e-20


@dataclass(frozen=True)
class Profile:
    """What a healthy signal looks like.

    Attributes:
        features: The values of a frame.
        lag: The frames between those that the pace compares.
        ranges: The lowest and the highest of each figure.
    """

    features: int
    lag: int
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
            found = cls(int(fields["features"]), int(fields["lag"]), ranges)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            raise ModelError("not a profile of health; write one with `tidegate live --learn-health FILE`") from None
        if not 1 <= found.lag <= BLOCK:
            raise ModelError(f"profile of health: lag {found.lag}, wanted 1 to {BLOCK}; learn it again")
        for name, (low, high) in ranges.items():
            if not -np.inf < low <= high < np.inf:
                raise ModelError(f"profile of health: {name} is {low} to {high}, wanted finite numbers; learn it again")
        return found


def lag_of(frame_seconds: float | None) -> int:
    """Return the frames between those that the pace compares; 1 if nobody knows how long a frame is."""
    return 1 if not frame_seconds else min(max(round(PACE / frame_seconds), 1), BLOCK)


@dataclass
class Block:
    """The frames of a block: how loud each is, how much they change, and looks at the state on the way."""

    count: int = 0
    levels: list[Any] = field(default_factory=list)
    changes: Any = field(default_factory=lambda: np.zeros(2))  # squares, over a lag and over two
    looks: list[dict[str, float]] = field(default_factory=list)

    @property
    def states(self) -> dict[str, float]:
        """The figures of the states: the means of the looks."""
        return {name: sum(look[name] for look in self.looks) / len(self.looks) for name in self.looks[0]}


class Observer:
    """Cuts a stream into blocks.

    Args:
        lag: The frames between those that the pace compares.
    """

    def __init__(self, lag: int) -> None:
        self.lag, self.block, self.frames = lag, Block(), 0
        self._before = np.zeros(0)  # roots of the last frames, for the pace

    def take(self, frames: Floats, stream: Stream) -> Block | None:
        """Take frames `[frames, features]`, and look at the stream if it is time; return a block that is full."""
        block, size = self.block, np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=1))
        block.count += len(frames)
        self.frames += len(frames)
        block.levels.append(20 * np.log10(size + SILENCE))
        block.changes += self._changes(np.sqrt(np.sqrt(size)))
        if block.count >= BLOCK * (len(block.looks) + 1) / LOOKS and len(block.looks) < LOOKS:
            block.looks.append(dict(_state_figures(stream)))
        if block.count < BLOCK:
            return None
        self.block = Block()
        return block

    def _changes(self, roots: Any) -> Any:  # noqa: ANN401  float64 [frames] and [2]
        """Return the sums of squares of differences to the frame a lag before, and two lags before."""
        joined = np.concatenate([self._before, roots])
        self._before = joined[-2 * self.lag :]
        found = []
        for shift in (self.lag, 2 * self.lag):
            count = max(
                min(len(roots), len(joined) - shift), 0
            )  # the first frames of a stream have none so long before
            start = len(joined) - count
            found.append(np.sum((joined[start:] - joined[start - shift : start - shift + count]) ** 2))
        return np.array(found)


def _state_figures(stream: Stream) -> Iterator[tuple[str, float]]:
    health = stream.health()
    for name, value in health.norms.items():
        yield f"norm of {name}", value
    for name, value in health.saturated.items():
        yield f"saturated share of {name}", value


def input_figures(blocks: Sequence[Block]) -> dict[str, float]:
    """Return the figures of the inputs, in dB: how loud the loud frames are, and how fast frames change."""
    levels = np.concatenate([level for block in blocks for level in block.levels])
    near, far = sum(block.changes for block in blocks)
    pace = 10 * np.log10((far + NO_CHANGE) / (near + SILENCE))  # far below any signal if nothing changes
    return {LOUDNESS: float(np.percentile(levels, LOUD)), TEMPO: float(pace)}


class Learner:
    """Learns a profile from a stream that is well.

    Args:
        frame_seconds: Seconds of a frame; None if nobody knows.
    """

    def __init__(self, frame_seconds: float | None = None) -> None:
        self._observer, self._blocks, self._features = Observer(lag_of(frame_seconds)), list[Block](), 0

    def take(self, frames: Floats, stream: Stream) -> None:
        """Take a chunk that was pushed."""
        self._features = frames.shape[1]
        block = self._observer.take(frames, stream)
        if block is not None:
            self._blocks.append(block)

    def profile(self) -> Profile:
        """Return the profile.

        Raises:
            ModelError: There was not one block.
        """
        blocks = self._blocks
        if not blocks:
            raise ModelError(f"a profile of health needs at least {BLOCK} frames, {self._observer.frames} came")
        span = min(SPAN, len(blocks))
        figures = [block.states for block in blocks]
        figures += [input_figures(blocks[end - span : end]) for end in range(span, len(blocks) + 1)]
        names = dict.fromkeys(name for each in figures for name in each)
        values = {name: [each[name] for each in figures if name in each] for name in names}
        ranges = {name: (min(own), max(own)) for name, own in values.items()}
        return Profile(self._features, self._observer.lag, ranges)


class Watcher:
    """Warns by name when figures leave what a healthy signal had.

    Args:
        profile: What a healthy signal looks like.
        note: Takes the warnings.
    """

    def __init__(self, profile: Profile, note: Note) -> None:
        self._profile, self._note = profile, note
        self._observer, self._blocks = Observer(profile.lag), list[Block]()
        self._outside: dict[str, int] = {}

    def take(self, frames: Floats, stream: Stream) -> None:
        """Take a chunk that was pushed.

        Raises:
            ModelError: The profile is that of another model.
        """
        if frames.shape[1] != self._profile.features:
            seen = f"{self._profile.features} input values, the model has {frames.shape[1]}"
            raise ModelError(f"profile of health: is of {seen}; learn it again")
        block = self._observer.take(frames, stream)
        if block is not None:
            self._blocks = [*self._blocks[1 - SPAN :], block]
            figures = block.states | (input_figures(self._blocks) if len(self._blocks) == SPAN else {})
            for name, value in figures.items():
                self._judge(name, value)

    def _judge(self, name: str, value: float) -> None:
        low, high = self._profile.ranges.get(name, (-np.inf, np.inf))
        margin = max(MARGIN * (high - low), LEAST.get(name, LEAST_OF_OTHERS))
        outside = value < low - margin or value > high + margin
        self._outside[name] = self._outside.get(name, 0) + 1 if outside else 0
        if self._outside[name] >= IN_A_ROW:
            self._note(f"health: {name}", f"health: {name} is {value:.3g}, healthy is {low:.3g} to {high:.3g}")
