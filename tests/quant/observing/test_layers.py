"""Matrices and biases are those of the layer, also of a backward direction."""

import numpy as np
from tidegate.quant.observing.layers import changed, layer_of, looks_ahead
from tidegate.runtime.contract import Blocks
from tidegate.runtime.operators import Backward, Cell, Slot, Window
from tidegate.runtime.program import Program
from tools.float_programs import FEATURES, layer, layer_and_head

BLOCKS = Blocks(4, 2)


def backward() -> Backward:
    cell = layer("gru")
    assert isinstance(cell, Cell)
    return Backward((0,), cell, BLOCKS)


def test_the_layer_of_a_backward_direction_holds_its_matrices() -> None:
    op = backward()
    assert layer_of(op) is op.cell
    assert layer_of(op.cell) is op.cell


def test_a_changed_operator_differs_only_in_its_fields() -> None:
    bias = np.ones(15, np.float32)
    for op in (backward(), layer("gru")):
        made = changed(op, {"bias": bias})
        assert type(made) is type(op)
        assert layer_of(made).bias is bias  # type: ignore[attr-defined]
        assert layer_of(made).w is layer_of(op).w  # type: ignore[attr-defined]
        assert layer_of(op).bias is not bias  # type: ignore[attr-defined]
    assert changed(backward(), {"bias": bias}).blocks == BLOCKS  # type: ignore[attr-defined]


def test_programs_with_late_frames_look_ahead() -> None:
    late = Program(FEATURES, (backward(),), (("y", 1),), blocks=BLOCKS)
    window = Program(FEATURES, (Window((0,), 3, 1, FEATURES, Slot("tail", 0), lookahead=1),), (("y", 1),))
    assert looks_ahead(late)
    assert looks_ahead(window)
    assert not looks_ahead(layer_and_head("lstm"))
