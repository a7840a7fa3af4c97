"""The clock of the signal: due times follow the arrivals that were delayed least."""

import pytest
from tidegate.runtime.live.clock import SampleClock


def test_a_moment_is_due_by_the_arrival_that_was_delayed_least() -> None:
    clock = SampleClock()
    for seconds, delay in [(1, 0.3), (2, 0.1), (3, 0.5)]:
        clock.heard(seconds, 100 + seconds + delay)

    assert clock.due(5) == pytest.approx(105.1)


def test_an_early_arrival_long_ago_counts_no_more() -> None:
    """The source runs 1000 ppm slow: after 1000 seconds it is a second behind, and its answers are on time."""
    clock = SampleClock()
    for seconds in range(1, 1001):
        clock.heard(seconds, seconds * 1.001)

    assert clock.due(1000) == pytest.approx(1001, abs=0.03)
    assert clock.skew == pytest.approx(-0.001, rel=0.01)


def test_a_pause_of_the_reader_moves_no_due_time() -> None:
    clock = SampleClock()
    for seconds in range(1, 31):
        clock.heard(seconds, seconds)
    for seconds in range(31, 61):  # what waited comes at once
        clock.heard(seconds, 60)

    assert clock.due(40) == pytest.approx(40)


def test_the_skew_is_0_before_it_is_known() -> None:
    clock = SampleClock()
    clock.heard(1, 1)

    assert clock.skew == 0
