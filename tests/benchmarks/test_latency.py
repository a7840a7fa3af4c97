"""Timing, on a clock that the steps themselves move: nothing sleeps, nothing depends on this machine."""

import gc
import os

import numpy as np
import pytest
from tidegate.benchmarks.latency import (
    Contender,
    Latency,
    Run,
    calls_within,
    drift_warning,
    measure,
    pinned,
    times_faster,
)
from tidegate.runtime.arrays import Array

CHUNKS = [np.full((1, 1), value, np.float32) for value in range(3)]


class Clock:
    """Nanoseconds that pass only when a step says so."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def taking(self, *microseconds: int) -> "Steps":
        """Return a stepper whose calls take these times, over and over."""
        return Steps(self, microseconds)


class Steps:
    """A stepper that remembers its chunks."""

    def __init__(self, clock: Clock, microseconds: tuple[int, ...]) -> None:
        self.clock, self.microseconds = clock, microseconds
        self.seen: list[float] = []

    def __call__(self, chunk: Array) -> None:
        self.clock.now += 1000 * self.microseconds[len(self.seen) % len(self.microseconds)]
        self.seen.append(float(chunk[0, 0]))


def test_percentiles_are_times_that_occurred() -> None:
    blocks = [[1000 * t for t in range(1, 501)], [1000 * t for t in range(501, 1001)]]

    found = Latency.of("x", blocks, deadline_ns=990_000)

    assert (found.calls, found.p50_us, found.p90_us, found.p99_us, found.p999_us) == (1000, 500, 900, 990, 999)
    assert (found.max_us, found.misses) == (1000, 10)
    assert found.block_medians_us == (250.5, 750.5)


def test_without_a_deadline_there_are_no_misses_to_count() -> None:
    assert Latency.of("x", [[1, 2]], None).misses is None


def test_contenders_take_turns_and_get_the_time_of_their_own_calls() -> None:
    clock = Clock()
    slow, fast = clock.taking(30), clock.taking(10)
    contenders = [Contender("slow", slow, CHUNKS), Contender("fast", fast, CHUNKS)]

    run = measure(contenders, calls=100, blocks=10, warmup=5, settle=2, deadline=20e-6, clock=clock)

    assert [(one.name, one.p50_us, one.max_us, one.misses) for one in run.latencies] == [
        ("slow", 30, 30, 100),
        ("fast", 10, 10, 0),
    ]
    assert run.deadline_us == 20
    assert (run.loop, run.clock_us) == ("closed", 0)
    assert len(slow.seen) == 5 + 10 * (2 + 10)


def test_chunks_are_cycled_in_order_without_a_gap() -> None:
    clock = Clock()
    steps = clock.taking(1)

    measure([Contender("x", steps, CHUNKS)], calls=7, blocks=2, warmup=1, settle=1, clock=clock)

    assert steps.seen == [index % 3 for index in range(1 + 2 + 7)]


def test_warm_up_and_settling_calls_are_not_counted() -> None:
    clock = Clock()
    steps = clock.taking(*[500] * 5, *[1] * 10)  # the first five calls are slow

    run = measure([Contender("x", steps, CHUNKS)], calls=10, blocks=1, warmup=3, settle=2, clock=clock)

    assert (run.latencies[0].calls, run.latencies[0].max_us) == (10, 1)


def test_there_are_no_more_turns_than_calls() -> None:
    clock = Clock()

    run = measure([Contender("x", clock.taking(7), CHUNKS)], calls=3, blocks=50, clock=clock)

    assert run.latencies[0].block_medians_us == (7, 7, 7)


@pytest.mark.parametrize("calls", [10, 13, 999])
def test_calls_that_do_not_divide_into_blocks_are_all_made(calls: int) -> None:
    clock = Clock()

    run = measure([Contender("x", clock.taking(1), CHUNKS)], calls=calls, blocks=10, clock=clock)

    assert run.latencies[0].calls == calls
    assert len(run.latencies[0].block_medians_us) == 10


def test_a_drifting_contender_is_named() -> None:
    drifting = Latency.of("ours", [[1000], [1000], [2000], [2000]], None)
    steady = Latency.of("theirs", [[1000]] * 4, None)

    run = Run((drifting, steady), 0, 0.0, None)

    assert run.unsteady() == ["ours 100%"]
    assert "ours 100%" in run.warnings()[0]
    assert Run((steady,), 0, 0.0, None).warnings() == []


def test_one_odd_block_in_twenty_is_no_drift() -> None:
    assert Latency.of("x", [[1000]] * 19 + [[9000]], None).spread == 0


def test_the_ratio_is_that_of_a_turn_whatever_the_machines_mood() -> None:
    """The machine is twice as slow for half of the turns."""
    assert times_faster([1, 1, 1, 2, 2], [2, 2, 2, 4, 4]) == 2
    assert times_faster([1, 1, 2], [2, 4, 4]) == 2


def test_a_warning_lists_a_few_and_counts_the_rest() -> None:
    assert drift_warning(["a", "b"]).endswith(": a, b")
    assert drift_warning([str(n) for n in range(9)]).endswith(": 0, 1, 2, 3 and 5 more")


def test_calls_fill_the_time_asked_for() -> None:
    clock = Clock()
    contenders = [Contender("a", clock.taking(30), CHUNKS), Contender("b", clock.taking(70), CHUNKS)]

    assert calls_within(1.0, contenders, clock=clock) == 10_000
    assert calls_within(1e-6, contenders, clock=clock) == 100
    assert calls_within(1e6, contenders, clock=clock) == 1_000_000


def test_progress_is_told_after_each_turn() -> None:
    clock = Clock()
    shares: list[float] = []

    measure([Contender("x", clock.taking(1), CHUNKS)], calls=4, blocks=4, clock=clock, progress=shares.append)

    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_the_collector_rests_meanwhile_and_works_again_after() -> None:
    clock, seen = Clock(), []

    measure([Contender("x", lambda _: seen.append(gc.isenabled()), CHUNKS)], calls=2, blocks=1, clock=clock)

    assert not any(seen)
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not pin processes")
def test_the_core_is_given_back_even_after_an_error() -> None:
    before = os.sched_getaffinity(0)

    def fail() -> None:
        with pinned() as core:
            assert os.sched_getaffinity(0) == {core}
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()

    assert os.sched_getaffinity(0) == before


def test_a_run_becomes_json_with_its_warnings() -> None:
    fields = Run((Latency.of("x", [[1000], [3000]], None),), 1, 0.1, None).to_dict()

    assert fields["latencies"][0]["p50_us"] == 1.0
    assert len(fields["warnings"]) == 1
