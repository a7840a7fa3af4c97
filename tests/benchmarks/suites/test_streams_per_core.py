"""The number of streams that a core serves, on a simulated clock."""

from collections.abc import Callable

import pytest
from tidegate.benchmarks.peers.loops import LoopClock
from tidegate.benchmarks.suites.streams_per_core import (
    ALONE,
    TRIES,
    Capacity,
    Contender,
    PushAll,
    machine_alone,
    most_streams,
    table,
)
from tools.clocks import Time

US = 1_000


def stalling(time: Time, stall: Callable[[int, int], int]) -> Callable[[int], PushAll]:
    """Return a function that opens streams of 10 us each.

    `stall` takes the number of streams and the number of the push, and returns the extra nanoseconds of the push.
    """

    def open_streams(count: int) -> PushAll:
        calls = iter(range(1, 1_000_000))
        return lambda: time.spend(10 * US * count + stall(count, next(calls)))

    return open_streams


@pytest.mark.parametrize(("rate", "wanted"), [(100.0, 1000), (1000.0, 100)])
def test_what_fits_into_a_period_is_found(rate: float, wanted: int) -> None:
    """A stream takes 10 us, so that 1000 streams fit into a period of 10 ms. The search has steps of a fifth."""
    time = Time()
    contender = Contender("even", lambda count: lambda: time.spend(10 * US * count), 5000)

    found, lasted = most_streams(contender, rate, 2.5, time.clock())

    assert 0.87 * wanted <= found <= wanted
    assert lasted == {found: 2.5}


def test_no_more_streams_are_opened_than_a_contender_has() -> None:
    time, opened = Time(), set[int]()

    def open_streams(count: int) -> PushAll:
        opened.add(count)
        return lambda: time.spend(10 * US * count)

    assert most_streams(Contender("few", open_streams, 40), 100.0, 1.0, time.clock()) == (40, {40: 1.0})
    assert max(opened) == 40


def test_a_stall_in_the_long_run_makes_it_fewer() -> None:
    """With more than 60 streams, a stall of 5 ms comes once in the whole time."""
    time = Time()
    uneven = stalling(time, lambda count, calls: 5000 * US if count > 60 and calls == 800 else 0)

    found, lasted = most_streams(Contender("uneven", uneven, 1000), 1000.0, 3.0, time.clock())

    assert 50 <= found <= 60
    assert list(lasted)[-1] == found
    assert list(lasted.values())[-1] == 3.0
    assert all(seconds == 0.0 for seconds in list(lasted.values())[:-1])


def test_a_stall_in_every_try_gives_no_streams() -> None:
    """The stall is longer than a period, so that any number of streams has a miss."""
    time = Time()
    stalled = stalling(time, lambda _, calls: 50_000 * US if calls == 150 else 0)

    found, lasted = most_streams(Contender("stalled", stalled, 2000), 100.0, 5.0, time.clock())

    assert found == 0
    assert set(lasted.values()) == {1.0}
    assert len(lasted) == TRIES
    assert list(lasted) == sorted(lasted, reverse=True)


def test_a_machine_that_holds_a_fast_rate_is_not_asked_at_slower_ones() -> None:
    """The machine wakes 2 ms late: it misses at 1000/s in three tries of a second, and keeps 100/s for the whole time.

    So 10/s is not tried.
    """
    time = Time()
    late = LoopClock(lambda: time.now, lambda instant: time.sleep_until(instant + 2000 * US))
    found, seconds = list[Capacity](), list[int]()

    for held in machine_alone((10.0, 100.0, 1000.0), 9.0, clock=late):
        found.append(held)
        seconds.append(round(time.now / 1e9))
        time.now = 0

    assert [(held.rate_hz, held.streams, held.lasted) for held in found] == [
        (1000.0, 0, {1: 0.0}),
        (100.0, 1, {1: 9.0}),
        (10.0, 1, {1: 9.0}),
    ]
    assert seconds == [3, 9, 0]


def test_a_machine_that_stalls_once_is_asked_again() -> None:
    time, calls = Time(), 0

    def stalling_once(instant: int) -> None:
        nonlocal calls
        calls += 1
        time.sleep_until(instant + (20_000 * US if calls == 150 else 0))

    [held] = machine_alone((100.0,), 4.0, clock=LoopClock(lambda: time.now, stalling_once))

    assert (held.streams, held.lasted) == (1, {1: 4.0})


def test_a_contender_without_streams_shows_how_long_it_lasted() -> None:
    held = [
        Capacity(ALONE, "", 100.0, 1, 60.0, 1, {1: 60.0}),
        Capacity(ALONE, "", 1000.0, 0, 60.0, 1, {1: 2.0}),
        Capacity("even", "A", 100.0, 7, 60.0, 9, {7: 60.0}),
        Capacity("capped", "A", 100.0, 9, 60.0, 9, {9: 60.0}),
        Capacity("uneven", "A", 100.0, 0, 60.0, 9, {9: 3.0, 8: 4.0}),
    ]

    assert table(held).rows == [
        ["the machine alone", "no miss", "misses within 3 s"],
        ["A, even", "7", "-"],
        ["A, capped", "9 or more", "-"],
        ["A, uneven", "none: 8 for 4 s", "-"],
    ]
