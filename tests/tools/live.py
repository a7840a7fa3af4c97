"""Live streams in tests: a clock that only the test moves, and a small model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from tidegate.benchmarks.nets import stacks
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.contract import METADATA_KEY, Contract
from tidegate.runtime.live.answers import Counters, LiveAnswer
from tidegate.runtime.live.clock import Clock
from tidegate.runtime.live.live import live
from tidegate.runtime.live.running import Live
from tidegate.runtime.live.sources.source import Block
from tidegate.runtime.live.waiting import Late
from tidegate.runtime.load import load
from tidegate.runtime.streams import Gap, Model

RATE = 50  # frames per second


@dataclass
class Hand:
    """A clock that only the test moves, in seconds."""

    time: float = 0.0

    def clock(self) -> Clock:
        """Return it as live streams take it."""
        return Clock(lambda: self.time, self.sleep)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.time += seconds


def small_model(sample_rate: float | None = RATE, hop: int | None = None, features: int = 3, seed: int = 0) -> Model:
    """Return an LSTM of random weights; `hop` goes into its contract."""
    made = stacks.streaming_model(
        stacks.random_layers(stacks.Case("small", features, 5, 1), seed), sample_rate=sample_rate
    )
    for entry in made.metadata_props:
        if entry.key == METADATA_KEY and hop:
            entry.value = replace(Contract.from_json(entry.value), hop=hop).to_json()
    return load(made.SerializeToString())


def frames(count: int, features: int = 3, seed: int = 0) -> Floats:
    """Return random frames `[count, features]`."""
    return np.random.default_rng(seed).standard_normal((count, features)).astype(np.float32)


def with_gaps(rows: Floats, lost: list[tuple[int, int]], size: int = 7) -> Iterator[Block]:
    """Give rows in blocks, without those between each `(start, end)`."""
    kept = np.ones(len(rows), bool)
    for start, end in lost:
        kept[start:end] = False
    at = 0
    while at < len(rows):
        if not kept[at]:
            at += 1
            continue
        end = at
        while end < len(rows) and kept[end] and end - at < size:
            end += 1
        yield Block(at, rows[at:end])
        at = end


def offline(model: Model, x: Floats, answers: list[LiveAnswer], gap: Gap) -> None:
    """Compare answers with a stream that is told of the same gaps."""
    stream = model.stream()
    for answer in answers:
        if answer.lost:
            assert answer.policy == gap
            stream.skip(answer.lost, gap)
        wanted = stream.push(x[answer.first : answer.first + answer.frames])
        assert np.array_equal(answer.values, wanted), answer.first


def accounted(counters: Counters, total: int) -> None:
    """Check that each frame was answered, lost, dropped or refused."""
    assert counters.next == total
    assert counters.answered + counters.lost + counters.dropped + counters.refused == total
    assert counters.queue == 0


class Slow:
    """A model whose pushes take time on a clock that the test moves."""

    def __init__(self, model: Model, hand: Hand, took: Callable[[int], float]) -> None:
        self._hand, self._took, self._model, self.pushes = hand, took, model, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def stream(self, state: object = None) -> object:
        stream, outer = self._model.stream(state), self  # type: ignore[arg-type]

        class Pushing:
            def __getattr__(self, name: str) -> object:
                return getattr(stream, name)

            def push(self, chunk: Array) -> Array:
                outer._hand.time += outer._took(outer.pushes)
                outer.pushes += 1
                return stream.push(chunk)

        return Pushing()


def run(model: object, x: object, hand: Hand, late: Late = "oldest", gap: Gap = "reset", **more: object) -> Live:
    """Start a stream at the speed of time, on the clock of the test."""
    return live(model, x, pace=True, late=late, gap=gap, clock=hand.clock(), **more)  # type: ignore[arg-type]
