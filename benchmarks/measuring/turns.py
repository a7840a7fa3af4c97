"""Times several step functions inside this process: pinned to one core, in turns. `harness` times processes."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from ...runtime.arrays import Array
from ..peers.job import Step
from ..peers.loops import REAL, Course, LoopClock, run

TURNS = 50  # turns are short, so that a busy moment of the machine slows all step functions alike


def in_turns(steps: Sequence[Step], chunks: Sequence[Array], calls: int, clock: LoopClock = REAL) -> list[float]:
    """Return the median microseconds per call of each step function, in a closed loop.

    Args:
        steps: The step functions.
        chunks: The chunks that each function is called with, over and over.
        calls: Calls of each function, over all turns.
        clock: The clock that measures.
    """
    times: list[list[int]] = [[] for _ in steps]
    with pinned():
        for _ in range(TURNS):
            for step, kept in zip(steps, times, strict=True):
                kept.extend(run(step, chunks, max(calls // TURNS, 1), Course(clock=clock)).latencies)
    return [float(np.median(kept)) / 1e3 for kept in times]


def times_faster(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return how many times faster tidegate is: the median, over the turns of one run, of their time / our time.

    The machine's speed changes during a run. Both sides of one turn meet the same speed, so that the ratio of a turn
    is steady even when the medians over the whole run are not.

    Args:
        ours: Our median time in each turn.
        theirs: Their median time in each turn, in the same unit.
    """
    return float(np.median(np.asarray(theirs) / np.asarray(ours)))


def pinnable() -> int | None:
    """Return the core that `pinned` chooses; None if the system does not allow pinning."""
    with pinned() as core:
        return core


@contextmanager
def pinned(core: int | None = None) -> Iterator[int | None]:
    """Pin this thread to a core, the last one if none is given.

    Gives the core, or None if the system does not allow pinning.
    """
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
