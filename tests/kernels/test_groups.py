"""Groups in C: rows that are pushed, left, joined, reset and restored at random give the bits of streams alone."""

import os
from pathlib import Path

import pytest
from kernels.building import VECTORS, run, vectors

STEPS = int(os.environ.get("TIDEGATE_STEPS", "500"))  # `make soak` asks for more


@pytest.mark.parametrize(("steps", "rows"), [(100, 1), (200, 3), (150, 40)])
def test_row_26_rows_of_random_plans_are_as_alone_and_leave_no_byte_behind(native: Path, steps: int, rows: int) -> None:
    """On every variant: answers, states and statuses; canaries after a row left; the memory when all have."""
    seen = run(native / "groups", str(steps), str(rows))
    assert seen == f"20 plans, {steps} steps of {rows} rows on each variant: as alone\n"


def test_row_26_rows_of_every_cell_operator_and_precision_are_as_alone(native: Path) -> None:
    seen = run(native / "groups", "100", "20", *vectors())
    assert seen == f"{len(vectors())} plans, 100 steps of 20 rows on each variant: as alone\n"


def test_row_26_interleaved_streams_are_as_alone(native: Path) -> None:
    """256 streams of two LSTM layers, pushed, joined, left, reset and restored at random."""
    seen = run(native / "groups", str(STEPS), "256", VECTORS / "stack")
    assert seen == f"1 plans, {STEPS} steps of 256 rows on each variant: as alone\n"
    print(seen)
