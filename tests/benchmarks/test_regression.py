"""Two results: slower is said where intervals are apart and the change is worth a word, and nowhere else."""

from dataclasses import replace

import pytest
from tidegate.benchmarks.environment import observe
from tidegate.benchmarks.peers import MACHINE
from tidegate.benchmarks.regression import changes, regressions, table
from tidegate.benchmarks.results import Result, Row

ROW = Row("tidegate", "W8A16", "push", "A", 1, "closed", p50_us=100.0, interval_us=(99.0, 101.0))


def result(*rows: Row) -> Result:
    """Return a result of rows."""
    return Result(observe((), None), rows)


@pytest.mark.parametrize(
    ("median", "interval", "verdict"),
    [
        (110.0, (109.0, 111.0), "slower"),
        (90.0, (89.0, 91.0), "faster"),
        (103.0, (102.0, 104.0), "same"),  # apart, but not worth a word
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


def test_rows_are_paired_by_what_they_are() -> None:
    other = replace(ROW, peer="mnn")
    refused = replace(ROW, precision="W8A8", p50_us=None)

    assert changes(result(ROW, refused), result(other, refused)) == []
    assert len(changes(result(ROW, other), result(other, ROW))) == 2


def test_the_machine_alone_is_not_compared() -> None:
    alone = replace(ROW, peer=MACHINE)

    assert [change.after for change in changes(result(ROW, alone), result(ROW, alone))] == [ROW]
