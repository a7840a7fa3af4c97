"""Signals stay signals if one axis of features is enough, and become frames of several axes if it is not."""

import numpy as np
import pytest
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.operators import Binary, Concat, Linear, Reduce, Take
from tools.drafts import FEATURES, Draft


def _ops(draft: Draft, value: str, width: int) -> list[type]:
    draft.answer(draft.add("Reshape", value, draft.tensor((-1, width), np.int64)), batch=None)
    return [type(op) for op in draft.program().ops]


def test_operands_that_widen_each_other_make_a_frame() -> None:
    d = Draft("tf")
    made = d.add("Mul", d.unsqueeze("x", 1), d.unsqueeze("x", 2))
    assert _ops(d, made, FEATURES**2) == [Take, Take, Binary]


def test_signals_joined_along_a_new_axis_make_a_frame() -> None:
    d = Draft("tf")
    both = d.add("Concat", d.unsqueeze(d.add("Tanh", "x"), 1), d.unsqueeze("x", 1), axis=1)
    assert _ops(d, d.add("ReduceSum", both, d.tensor([2], np.int64), keepdims=0), 2)[1:] == [Concat, Reduce]


def test_an_operator_of_one_axis_refuses_a_frame_of_several() -> None:
    d = Draft("tf")
    wide = d.add("MatMul", "x", d.weights(FEATURES, 16, axis=1))
    frame = d.add("Reshape", wide, d.tensor((-1, 2, 8), np.int64))
    d.answer(d.add("Gemm", frame, d.weights(8, 3, axis=1)), batch=None)
    with pytest.raises(UnsupportedError, match=r"'v\d' has several axes inside a frame, wanted one axis of features"):
        d.program()


def test_a_linear_layer_of_a_signal_stays_a_linear_layer() -> None:
    d = Draft("tf")
    d.answer(d.add("MatMul", "x", d.weights(FEATURES, 3, axis=1)), batch=None)
    assert [type(op) for op in d.program().ops] == [Linear]
