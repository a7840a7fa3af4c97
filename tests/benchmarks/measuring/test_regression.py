"""Comparing results: a row is slower only if the intervals are apart and the change is large enough."""

from dataclasses import replace

import pytest
from tidegate.benchmarks.measuring.environment import observe
from tidegate.benchmarks.measuring.regression import builds, changes, regressions, table
from tidegate.benchmarks.measuring.results import Result, Row
from tidegate.benchmarks.peers import MACHINE, OTHER_BUILD

ROW = Row("tidegate", "W8A16", "push", "A", 1, "closed", p50_us=100.0, interval_us=(99.0, 101.0))


def result(*rows: Row) -> Result:
    """Return a result with some rows."""
    return Result(observe((), None), rows)


@pytest.mark.parametrize(
    ("median", "interval", "verdict"),
    [
        (110.0, (109.0, 111.0), "slower"),
        (90.0, (89.0, 91.0), "faster"),
        (103.0, (102.0, 104.0), "same"),  # the intervals are apart, but the change is small
        (110.0, (100.5, 130.0), "same"),  # the intervals touch
        (100.0, (99.0, 101.0), "same"),
    ],
)
def test_verdicts(median: float, interval: tuple[float, float], verdict: str) -> None:
    (change,) = changes(result(ROW), result(replace(ROW, p50_us=median, interval_us=interval)))

    assert change.verdict == verdict
    assert change.ratio == median / 100
    assert bool(regressions([change])) == (verdict == "slower")
    assert verdict in table([change]).rows[0]


@pytest.mark.parametrize(("late", "verdict"), [(1.1, "slower"), (0.9, "faster"), (1.02, "same")])
def test_builds_in_turns_are_compared_pair_by_pair(late: float, verdict: str) -> None:
    """The machine was slow for the second process of each build. The intervals overlap, but the ratios agree."""
    turns = (100.0, 101.0, 99.0, 150.0, 151.0, 149.0)
    other = replace(ROW, peer=OTHER_BUILD, processes=2, interval_us=(100.0, 150.0), turns_us=turns)
    slow = tuple(late * turn for turn in turns)
    ours = replace(ROW, processes=2, p50_us=late * 100, interval_us=(late * 100, late * 150), turns_us=slow)

    (change,) = builds(result(ours, other))

    assert change.ratios == pytest.approx((late, late))
    assert change.verdict == verdict


def test_pairs_that_disagree_give_the_verdict_same() -> None:
    other = replace(ROW, peer=OTHER_BUILD, processes=2, turns_us=(100.0, 100.0))
    (change,) = builds(result(replace(ROW, processes=2, turns_us=(130.0, 99.0)), other))

    assert change.verdict == "same"


def test_rows_with_the_same_key_are_compared() -> None:
    other = replace(ROW, peer="mnn")
    refused = replace(ROW, precision="W8A8", p50_us=None)

    assert changes(result(ROW, refused), result(other, refused)) == []
    assert len(changes(result(ROW, other), result(other, ROW))) == 2


def test_the_machine_alone_is_not_compared() -> None:
    alone = replace(ROW, peer=MACHINE)

    assert [change.after for change in changes(result(ROW, alone), result(ROW, alone))] == [ROW]
