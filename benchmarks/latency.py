"""Timing steppers side by side: one core, in turns, every call on its own.

The loop is closed: a call starts when the one before it has ended. It shows what a step costs, not how
long a chunk waits at a source that does not wait.
"""

import gc
import os
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np

from ..runtime.arrays import Array

Stepper = Callable[[Array], object]
Clock = Callable[[], int]
Progress = Callable[[float], None]

LOOP = "closed"
STEADY = 0.10  # spread of the block medians above which a figure is doubted
MOST_CALLS = 1_000_000  # of one contender: every time is kept, in 8 bytes
FEWEST_CALLS = 100
NAMED = 4  # contenders that a warning lists


@dataclass(frozen=True)
class Contender:
    """Something to time.

    Attributes:
        name: What tables call it.
        step: Takes one chunk; carries its state itself.
        chunks: Chunks in the form that `step` takes, used over and over in this order.
    """

    name: str
    step: Stepper
    chunks: Sequence[Array]


@dataclass(frozen=True)
class Latency:
    """The calls of one contender.

    Attributes:
        name: Its name.
        calls: Calls timed.
        p50_us: The time, in microseconds, that half of the calls did not exceed; the others alike.
        p90_us: 90 %.
        p99_us: 99 %.
        p999_us: 99.9 %.
        max_us: The longest call.
        misses: Calls longer than the deadline; None without a deadline.
        block_medians_us: The median of each block in the order of time.
    """

    name: str
    calls: int
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float
    misses: int | None
    block_medians_us: tuple[float, ...]

    @property
    def spread(self) -> float:
        """How far the middle four fifths of the block medians lie apart, relative to the median."""
        low, high = np.percentile(self.block_medians_us, (10, 90))
        return float(high - low) / self.p50_us if self.p50_us else 0.0

    @classmethod
    def of(cls, name: str, blocks: Sequence[Sequence[int]], deadline_ns: float | None) -> "Latency":
        """Summarize the times of blocks of calls, in nanoseconds.

        The percentiles are times that really occurred, from every sample. An HDR histogram would round
        them to a share of their size; it pays where samples are too many to keep.
        """
        times = np.sort(np.concatenate([np.asarray(block, np.int64) for block in blocks]))
        p50, p90, p99, p999, most = (_not_exceeded(times, share) for share in (500, 900, 990, 999, 1000))
        misses = None if deadline_ns is None else int(np.count_nonzero(times > deadline_ns))
        medians = tuple(float(np.median(block)) / 1e3 for block in blocks)
        return cls(name, len(times), p50, p90, p99, p999, most, misses, medians)


@dataclass(frozen=True)
class Run:
    """One run, every contender in it.

    Attributes:
        latencies: A row a contender, in their order.
        core: The core that the run was pinned to; None where it could not be.
        clock_us: What the clock itself takes, in microseconds: it is in every time, and not subtracted.
        deadline_us: The deadline that misses are counted against, in microseconds.
        loop: `closed`.
    """

    latencies: tuple[Latency, ...]
    core: int | None
    clock_us: float
    deadline_us: float | None
    loop: str = LOOP

    def unsteady(self) -> list[str]:
        """Name each contender whose times drifted, and how far."""
        return [f"{one.name} {one.spread:.0%}" for one in self.latencies if one.spread > STEADY]

    def warnings(self) -> list[str]:
        """Say what makes the figures doubtful."""
        return [drift_warning(self.unsteady())] if self.unsteady() else []

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON-ready values."""
        return asdict(self) | {"warnings": self.warnings()}


def times_faster(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return how many times faster we are, from the block medians of one run: the median over turns.

    Contenders of one turn meet the same mood of the machine, so this stands where medians over all drift.
    """
    return float(np.median(np.asarray(theirs) / np.asarray(ours)))


def drift_warning(names: Sequence[str]) -> str:
    """Return the sentence about contenders whose times drifted."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    listed = ", ".join(names[:NAMED])
    return f"medians of blocks lie more than {STEADY:.0%} apart, run again on a quieter machine: {listed}{more}"


def measure(
    contenders: Sequence[Contender],
    *,
    calls: int = 10_000,
    blocks: int = 50,
    warmup: int = 300,
    settle: int = 10,
    deadline: float | None = None,
    core: int | None = None,
    clock: Clock = time.perf_counter_ns,
    progress: Progress | None = None,
) -> Run:
    """Time contenders in turns: a block of the first, one of the second, ..., then from the start again.

    Drift of the machine so hits all alike. The process is pinned to one core and the garbage collector
    rests meanwhile; both are afterwards as they were.

    Args:
        contenders: What to time.
        calls: Calls timed of each.
        blocks: Turns, at most as many as calls. Short turns keep contenders close in time: a busy spell of
            the machine then meets all of them.
        warmup: Calls of each before the first turn.
        settle: Calls at the start of each block that are not counted: the contender before has pushed the
            weights out of the caches, which a contender that runs alone does not see.
        deadline: Seconds a call may take, to count misses.
        core: The core to pin to; None: the last one allowed, since the first takes most interrupts.
        clock: Nanoseconds, ever rising.
        progress: Called after each turn with the share done.
    """
    blocks = min(blocks, calls)
    sources = [cycle(contender.chunks) for contender in contenders]
    times: list[list[array[int]]] = [[] for _ in contenders]
    with pinned(core) as used, _no_collection():
        for contender, source in zip(contenders, sources, strict=True):
            _time(contender.step, islice(source, warmup), clock)
        for turn in range(blocks):
            count = calls * (turn + 1) // blocks - calls * turn // blocks
            for contender, source, kept in zip(contenders, sources, times, strict=True):
                _time(contender.step, islice(source, settle), clock)
                kept.append(_time(contender.step, islice(source, count), clock))
            if progress is not None:
                progress((turn + 1) / blocks)
        overhead = float(np.median(_time(_nothing, islice(cycle([np.zeros(1)]), 1000), clock))) / 1e3
    nanoseconds = None if deadline is None else deadline * 1e9
    rows = tuple(Latency.of(c.name, kept, nanoseconds) for c, kept in zip(contenders, times, strict=True))
    return Run(rows, used, overhead, None if deadline is None else deadline * 1e6)


def calls_within(seconds: float, contenders: Sequence[Contender], *, clock: Clock = time.perf_counter_ns) -> int:
    """Return how many calls of each contender fit into a time, all of them together."""
    trials = [_time(c.step, islice(cycle(c.chunks), FEWEST_CALLS), clock) for c in contenders]
    once = sum(float(np.median(times)) for times in trials)
    return int(np.clip(seconds * 1e9 / max(once, 1.0), FEWEST_CALLS, MOST_CALLS))


@contextmanager
def pinned(core: int | None = None) -> Iterator[int | None]:
    """Keep this thread on one core; gives the core, or None where the system does not let one choose."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    before = os.sched_getaffinity(0)
    chosen = max(before) if core is None else core
    try:
        os.sched_setaffinity(0, {chosen})
    except PermissionError:  # some sandboxes
        yield None
        return
    try:
        yield chosen
    finally:
        os.sched_setaffinity(0, before)


def _not_exceeded(ordered: Array, per_mille: int) -> float:
    """Return the least of ordered times, in microseconds, that so many calls in a thousand did not exceed."""
    return float(ordered[-(-len(ordered) * per_mille // 1000) - 1]) / 1e3


@contextmanager
def _no_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _time(step: Stepper, chunks: Iterator[Array], clock: Clock) -> "array[int]":
    times = array("q")
    for chunk in chunks:
        start = clock()
        step(chunk)
        times.append(clock() - start)
    return times


def _nothing(_: Array) -> None:
    pass
