"""Groups in C: rows that push, leave, join, reset and restore at random give the same bits as single streams."""

import os
from pathlib import Path

import pytest
from kernels.building import VECTORS, run, vectors

pytestmark = pytest.mark.slow  # compiles the engine and tries every plan on every variant

STEPS = int(os.environ.get("TIDEGATE_STEPS", "500"))  # `make soak` sets more


@pytest.mark.parametrize(("steps", "rows"), [(100, 1), (200, 3), (150, 40)])
def test_row_26_rows_of_random_plans_equal_single_streams_and_leave_no_byte(
    native: Path, steps: int, rows: int
) -> None:
    """On every variant: answers, states and statuses, canaries after a row left, the memory after all rows left."""
    seen = run(native / "groups", str(steps), str(rows))
    assert seen == f"20 plans, {steps} steps of {rows} rows on each variant: as alone\n"


def test_row_26_rows_of_every_operator_and_precision_equal_single_streams(native: Path) -> None:
    seen = run(native / "groups", "100", "20", *vectors())
    assert seen == f"{len(vectors())} plans, 100 steps of 20 rows on each variant: as alone\n"


def test_row_26_interleaved_rows_equal_single_streams(native: Path) -> None:
    """256 rows of two LSTM layers; they push, join, leave, reset and restore at random."""
    seen = run(native / "groups", str(STEPS), "256", VECTORS / "stack")
    assert seen == f"1 plans, {STEPS} steps of 256 rows on each variant: as alone\n"
    print(seen)
