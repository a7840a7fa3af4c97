"""The open and the closed loop, on a simulated clock."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.benchmarks.peers.loops import EVICTIONS, LEAD, SETTLE, Course, run
from tools.clocks import Time

MS = 1_000_000
CHUNKS = [np.zeros((1, 3), np.float32)] * 3


@pytest.mark.parametrize("period", [10 * MS, 0])
def test_a_stall_shows_in_the_open_loop_alone(period: int) -> None:
    """A stall lasts 200 ms. In the open loop it delays 20 chunks of 10 ms, and the wait of each one counts."""
    time = Time()

    timed = run(time.step(MS), CHUNKS, 1000, Course(period, stall=200 * MS, clock=time.clock()))

    p99 = np.percentile(timed.latencies, 99)
    if period:
        late = [latency for latency in timed.latencies if latency > MS]
        assert p99 > 100 * MS
        assert max(timed.latencies) == 201 * MS
        # Each late chunk waits 10 ms less and is answered in 1 ms: 201, 192, 183, ...
        assert late == list(range(201 * MS, MS, -9 * MS))
    else:
        assert p99 == MS
        assert max(timed.latencies) == MS
    assert set(timed.services) == {MS}


@given(period=st.integers(1, 50), took=st.lists(st.integers(0, 80), min_size=1, max_size=40))
def test_latency_runs_from_the_instant_a_chunk_was_due(period: int, took: list[int]) -> None:
    """The wanted latencies are those of a queue with one server: start = max(due, end of the chunk before)."""
    time, left = Time(), list(took)

    def step(_: object) -> None:
        time.now += left.pop(0)

    timed = run(step, CHUNKS, len(took), Course(period, clock=time.clock()))

    wanted, end = [], 0
    for k, one in enumerate(took):
        due = LEAD + k * period
        end = max(due, end) + one
        wanted.append(end - due)
    assert list(timed.latencies) == wanted
    assert list(timed.services) == took


def test_a_closed_loop_settles_before_it_counts() -> None:
    time, calls = Time(), []

    timed = run(lambda _: calls.append(time.now), CHUNKS, 5, Course(clock=time.clock()))

    assert len(calls) == SETTLE + 5
    assert len(timed.latencies) == 5


def test_caches_are_emptied_between_chunks_and_never_into_the_next() -> None:
    time, pieces = Time(), []

    def evict() -> None:
        pieces.append(time.now)
        time.now += MS

    timed = run(time.step(MS), CHUNKS, 3, Course(10 * MS, evict=evict, clock=time.clock()))

    assert list(timed.latencies) == [MS] * 3
    assert len(pieces) == 3 * 7  # of 10 ms, the answer takes one, and the last 2.5 stay free
    pieces.clear()
    run(time.step(MS), CHUNKS, 3, Course(evict=evict, clock=time.clock()))
    assert len(pieces) == 3 * EVICTIONS
