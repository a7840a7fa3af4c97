"""How many streams a core holds, on a clock of its own."""

import pytest
from clocks import Time
from tidegate.benchmarks.streams import Contender, Held, PushAll, most_streams, table

US = 1_000


@pytest.mark.parametrize(("rate", "wanted"), [(100.0, 1000), (1000.0, 100)])
def test_what_fits_into_a_period_is_found(rate: float, wanted: int) -> None:
    """A stream takes 10 us: a period of 10 ms holds 1000, within the steps of the search."""
    time = Time()
    contender = Contender("even", lambda count: lambda: time.spend(10 * US * count))

    found, tried = most_streams(contender, rate, 1.0, time.clock())

    assert 0.95 * wanted <= found <= wanted
    assert tried == {found: 0}


def test_a_stall_in_the_long_run_makes_it_fewer() -> None:
    """Each number of streams above 50 meets one stall of 5 ms in the long run."""
    time = Time()
    calls: list[int] = []

    def open_streams(count: int) -> PushAll:
        calls.clear()

        def push() -> None:
            calls.append(count)
            time.spend(10 * US * count + (5000 * US if count > 50 and len(calls) == 800 else 0))

        return push

    found, tried = most_streams(Contender("uneven", open_streams), 1000.0, 1.0, time.clock())

    assert 0 < found <= 50
    assert list(tried.values())[-1] == 0
    assert all(misses > 0 for misses in list(tried.values())[:-1])


def test_no_stream_held_is_said_with_its_misses() -> None:
    held = [Held("even", "A", 100.0, 7, 60.0, {7: 0}), Held("even", "A", 1000.0, 0, 60.0, {9: 3, 8: 2})]

    assert table(held).rows == [["A, even", "7", "none (2 misses)"]]
