"""Records of operations that no exporter writes: refused by their field; what is just allowed runs."""

import numpy as np
import pytest
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.errors import PlanError
from tidegate.runtime.operators import Align, Concat, Last, Operator, Slice, Slot, Window
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program
from tools.streams import contract_of

MOST_CLOCKS = 64  # docs/plan.md


def model_of(*ops: Operator, width: int = 3) -> NativeModel:
    """Return a program with one output as a model of the engine."""
    program = Program(width, ops, (("y", len(ops)),))
    return NativeModel(compile_program(program, contract_of(program)))


def ahead_from(value: int) -> list[Operator]:
    """Return a window over a value that looks one frame ahead."""
    return [Window((value,), 2, 1, 1, Slot(f"w{value}.tail", 0), 1)]


def test_a_plan_has_at_most_64_clocks() -> None:
    frames = np.arange(70, dtype=np.float32).reshape(70, 1)
    windows = [op for at in range(MOST_CLOCKS - 1) for op in (*ahead_from(2 * at), Slice((2 * at + 1,), 1, 1, 1))]
    answer = model_of(*windows, width=1).stream().push(frames)
    np.testing.assert_array_equal(np.asarray(answer)[:, 0], np.arange(MOST_CLOCKS - 1, 70))
    one_more = [*windows, *ahead_from(len(windows))]
    with pytest.raises(PlanError, match=rf"operation {len(windows)}: clocks is 65, wanted 64"):
        model_of(*one_more, width=1)


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ((Last((0,)), Align((0, 1))), "operation 1: second input has a time axis is 0, wanted 1"),
        ((Last((0,)), Align((1, 0))), "operation 1: input has a time axis is 0, wanted 1"),
        ((*ahead_from(0), Align((0, 1))), "operation 1: second input's clock leads is 0, wanted 1"),
        ((Slice((0,), 0, 2, 0),), r"operation 0: stride is 0, wanted 1"),
        ((Slice((0,), 0, 1, 1 << 20),), r"operation 0: stride is 1048576, wanted \d+"),
        ((Slice((0,), 1, 2, 2),), "operation 0: last feature of the slice is 3, wanted 2"),
        ((Slice((0,), 3, 1, 1),), "operation 0: last feature of the slice is 3, wanted 2"),
        ((*ahead_from(0), Concat((0, 1))), "operation 1: .*clock"),
    ],
)
def test_a_record_that_no_exporter_writes_is_refused_by_its_field(ops: tuple[Operator, ...], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        model_of(*ops)


@pytest.mark.parametrize(
    ("width", "message"), [(128, ""), (129, "operation 2: held values is 135266304, wanted 134217728")]
)
def test_values_that_are_held_back_are_limited(width: int, message: str) -> None:
    """One feature looks ahead, and with a block of 16 rows as many as 2^20 of the whole frame wait for it."""
    ahead = (1 << 20) - 16
    ops = (Slice((0,), 0, 1, 1), Window((1,), 2, ahead, 1, Slot("w.tail", 0), ahead), Align((2, 0)))
    if not message:
        model_of(*ops, width=width)
        return
    with pytest.raises(PlanError, match=message):
        model_of(*ops, width=width)
