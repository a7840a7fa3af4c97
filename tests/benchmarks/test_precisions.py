"""The table of precisions for a tiny stack, and the verdicts on its goals."""

import pytest
from tidegate.benchmarks import precisions
from tidegate.benchmarks.measuring.records import Settings
from tidegate.benchmarks.measuring.results import Row
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers.job import Variant
from tidegate.benchmarks.speed import measured

TINY = stacks.Case("A", 4, 8, 1)


@pytest.mark.slow
def test_every_precision_has_a_row_with_its_size_and_error() -> None:
    ours = [Variant(precision, "push scalar") for precision in precisions.PRECISIONS]

    rows = measured([TINY], [4], {"tidegate": ours}, Settings(seconds=0.01, processes=1, turns=2)).rows

    assert [row.precision for row in rows] == list(precisions.PRECISIONS)
    errors = {row.precision: row.error_rms or 0 for row in rows}
    assert errors["float32"] < errors["W16A16"] < errors["W8A16"] < errors["W8A8"] < errors["W4A8"]
    sizes = {row.precision: row.file_bytes or 0 for row in rows}
    assert sizes["W4A16"] < sizes["W8A16"] < sizes["W16A16"] < sizes["float32"]


def row(precision: str, us: float) -> Row:
    """Return a row whose turns all took the same time."""
    return Row("tidegate", precision, "push", "A", 1, "closed", p50_us=us, turns_us=(us, us))


def test_goals_are_judged_within_the_same_run() -> None:
    times = {"W8A16": 2.0, "W8A16g32": 2.2, "W4A16": 2.0, "W4A16g32": 2.4, "float32": 4.8}
    integers, groups = precisions.goals([row(name, us) for name, us in times.items()])
    assert integers == "Integers take at most 0.50 of the time of float32: reached."
    assert groups.startswith("Groups of 32 take 1.10 to 1.20 times")
    assert groups.endswith("short.")


def test_a_row_of_the_table_is_compared_with_w8a16() -> None:
    table = precisions.table([row("W8A16", 2.0), row("W4A8", 1.0)])
    assert [line[0] for line in table.rows] == ["A 40->128"] * 2
    assert [line[4] for line in table.rows] == ["1.00", "0.50"]
