"""The figures of a live stream."""

import sys

import pytest
from tidegate.runtime.errors import BackendError
from tidegate.runtime.live.answers import Counters


def test_delays_are_a_histogram_of_three_digits() -> None:
    counters = Counters()
    for number in range(1, 1001):
        counters.record(number / 1000, late=number > 900)

    found = counters.as_dict()
    assert (found["on_time"], found["late"]) == (900, 100)
    assert found["delays"] == pytest.approx({"median": 0.5, "p99": 0.99, "p99.9": 0.999, "worst": 1.0}, rel=2e-3)


def test_a_delay_of_days_or_below_0_is_counted_at_the_end_of_the_histogram() -> None:
    counters = Counters()
    counters.record(1e9, late=True)
    counters.record(-1.0, late=False)

    assert counters.as_dict()["delays"]["worst"] == pytest.approx(24 * 3600, rel=2e-3)


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hdrh.histogram", None)

    with pytest.raises(BackendError, match=r"live streams need hdrhistogram; pip install 'tidegate\[live\]'"):
        Counters()
