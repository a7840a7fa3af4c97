"""Records of operations that no exporter writes: refused by their field; what is just allowed runs."""

import numpy as np
import pytest
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.contract import Blocks
from tidegate.runtime.errors import PlanError
from tidegate.runtime.operators import (
    Align,
    Backward,
    Concat,
    Convolution,
    Depthwise,
    Folded,
    Geometry,
    Last,
    Operator,
    Slice,
    Slot,
    Window,
)
from tidegate.runtime.operators.matrix import Reading
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program
from tools.random_layers import cell, matrix
from tools.streams import contract_of

MOST_CLOCKS = 64  # docs/plan.md
BLOCKS = Blocks(2, 1)


def model_of(*ops: Operator, width: int = 3, blocks: Blocks | None = None) -> NativeModel:
    """Return a program with one output as a model of the engine."""
    program = Program(width, ops, (("y", len(ops)),), blocks=blocks)
    return NativeModel(compile_program(program, contract_of(program)))


def ahead_from(value: int) -> list[Operator]:
    """Return a window over a value that looks one frame ahead."""
    return [Window((value,), 2, 1, 1, Slot(f"w{value}.tail", 0), 1)]


def backward_from(value: int, width: int = 1) -> Operator:
    """Return a cell of one unit over a value that runs backward in blocks."""
    rng = np.random.default_rng(0)
    return Backward((value,), cell(rng, value, (width, 1), Reading.FRAME, 16, kind="tanh"), BLOCKS)


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


def test_frames_in_blocks_never_wait_for_what_comes_frame_by_frame() -> None:
    with pytest.raises(PlanError, match="operation 1: second input's clock leads is 0, wanted 1"):
        model_of(backward_from(0), Align((0, 1)), width=1, blocks=BLOCKS)


def test_blocks_of_blocks_are_behind_the_frames_that_the_outermost_are_made_of() -> None:
    """Which of two clocks leads says the clock from which both come, not one on the way to it."""
    late = (*ahead_from(0), backward_from(1, 2), backward_from(2))
    model_of(*late, Align((3, 1)), width=1, blocks=BLOCKS)
    late_between = (backward_from(0), *ahead_from(1), backward_from(2, 2), *ahead_from(0))
    with pytest.raises(PlanError, match="operation 4: second input's clock leads is 0, wanted 1"):
        model_of(*late_between, Align((3, 4)), width=1, blocks=BLOCKS)


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


# ---- what operations cost together ----


def folded(steps: int, rows: int, features: int) -> Operator:
    """Return an LSTM of as many units as features over the steps and rows of a frame."""
    rng = np.random.default_rng(0)
    layer = cell(rng, 0, (features, features), Reading.FRAME, 16, kind="lstm")
    return Folded((0,), layer, steps, rows, carried=False)


def convolution(kind: type[Convolution] | type[Depthwise], size: int, taps: int) -> Operator:
    """Return a convolution over a frame of one channel, `size` values in a row, that gives as many."""
    rng = np.random.default_rng(0)
    where = Geometry((1, size), (1, taps), (1, 1), (1, 1), (0, taps - 1), (1, size))
    return kind((0,), matrix(rng, 1, taps, Reading.FRAME, 16), np.ones(1, np.float32), where)


def test_products_of_all_layers_inside_a_frame_are_limited() -> None:
    """Both matrices count at each step: 128 steps of 4 x 128 x (128 + 128) products are 2^24."""
    layers = [folded(128, 1, 128)] * 16
    model_of(*layers, width=1 << 14)
    with pytest.raises(PlanError, match="operation 16: products of all convolutions is 285212672, wanted 268435456"):
        model_of(*layers, layers[0], width=1 << 14)


@pytest.mark.parametrize("kind", [Convolution, Depthwise])
def test_products_of_convolutions_and_layers_are_limited_together(kind: type[Convolution] | type[Depthwise]) -> None:
    most = convolution(kind, 1 << 14, 1 << 14)
    model_of(most, width=1 << 14)
    with pytest.raises(PlanError, match="operation 1: products of all convolutions is 285212672, wanted 268435456"):
        model_of(most, folded(128, 1, 128), width=1 << 14)


@pytest.mark.parametrize(
    ("tail", "message"), [(16, ""), (17, "operation 2: tails of all windows is 1048577, wanted 1048576")]
)
def test_memory_of_windows_and_of_the_rows_of_layers_is_limited_together(tail: int, message: str) -> None:
    """A row of an LSTM of one unit counts as its four gates and 64 values."""
    ops = (Slice((0,), 0, 1, 1), Window((1,), 2, tail, 1, Slot("w.tail", 0)), folded(1, 15420, 1))
    if not message:
        model_of(*ops, width=15420)
        return
    with pytest.raises(PlanError, match=message):
        model_of(*ops, width=15420)
