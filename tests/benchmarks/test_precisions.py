"""The table of precisions in a tiny configuration."""

import pytest
from tidegate.benchmarks import lstms, precisions

pytest.importorskip("rich")

TINY = lstms.Case("A", 4, 8, 1)


def test_every_precision_has_a_row_with_its_size_and_error() -> None:
    rows = precisions.run_case(TINY, 4, 20, "scalar", None)
    assert [row.precision for row in rows] == list(precisions.PRECISIONS)
    errors = {row.precision: row.error_rms for row in rows}
    assert errors["float32"] < errors["W16A16"] < errors["W8A16"] < errors["W8A8"] < errors["W4A8"]
    sizes = {row.precision: row.plan_bytes for row in rows}
    assert sizes["W4A16"] < sizes["W8A16"] < sizes["W16A16"] < sizes["float32"]


def row(precision: str, us: float) -> precisions.Row:
    return precisions.Row("A", 1, precision, us, (us, us), 1000, 0.1, "scalar")


def test_goals_are_judged_within_the_same_run() -> None:
    times = {"W8A16": 2.0, "W8A16g32": 2.2, "W4A16": 2.0, "W4A16g32": 2.4, "float32": 4.8}
    integers, groups = precisions.goals([row(name, us) for name, us in times.items()])
    assert integers == "Integers take at most 0.50 of the time of float32: reached."
    assert groups.startswith("Groups of 32 take 1.10 to 1.20 times")
    assert groups.endswith("short.")


def test_a_table_row_is_set_against_w8a16() -> None:
    table = precisions.table([row("W8A16", 2.0), row("W4A8", 1.0)])
    assert [line[4] for line in table.rows] == ["1.00", "0.50"]
