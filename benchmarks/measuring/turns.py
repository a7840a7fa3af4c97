"""Timing steppers of this process side by side: one core, in turns. What runs in processes is the harness's."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from ...runtime.arrays import Array
from ..peers.job import Step
from ..peers.loops import REAL, Course, LoopClock, run

TURNS = 50  # short ones: a busy spell of the machine meets all


def in_turns(steps: Sequence[Step], chunks: Sequence[Array], calls: int, clock: LoopClock = REAL) -> list[float]:
    """Return the median microseconds of a call of each stepper, in a closed loop, `calls` of each in all."""
    times: list[list[int]] = [[] for _ in steps]
    with pinned():
        for _ in range(TURNS):
            for step, kept in zip(steps, times, strict=True):
                kept.extend(run(step, chunks, max(calls // TURNS, 1), Course(clock=clock)).latencies)
    return [float(np.median(kept)) / 1e3 for kept in times]


def times_faster(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return how many times faster we are, from the medians of the turns of one run: the median over turns.

    Contenders of one turn meet the same mood of the machine, so this stands where medians over all drift.
    """
    return float(np.median(np.asarray(theirs) / np.asarray(ours)))


def pinnable() -> int | None:
    """Return the core that `pinned` keeps to, or None where the system does not let one choose."""
    with pinned() as core:
        return core


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
