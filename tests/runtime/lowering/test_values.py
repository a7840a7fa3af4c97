"""What a value is while a graph is lowered."""

from tidegate.runtime.lowering.values import BATCH, TIME, AxisSizes


def test_sizes_are_numbers_only_if_no_push_decides_one() -> None:
    assert AxisSizes((2, 3)).numbers() == [2, 3]
    assert AxisSizes((2, TIME)).numbers() is None
    assert AxisSizes((BATCH,)).numbers() is None
