"""Functions inside a frame of several axes: what they become."""

import numpy as np
import pytest
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.operators import Elementwise, LayerNorm, Linear, Reduce, Take
from tools.drafts import FEATURES, Draft


def _frame(draft: Draft, *shape: int) -> str:
    wide = draft.add("MatMul", "x", draft.weights(FEATURES, int(np.prod(shape)), axis=1))
    return draft.add("Reshape", wide, draft.tensor((-1, *shape), np.int64))


def _flat(draft: Draft, value: str, width: int) -> list[type]:
    draft.answer(draft.add("Reshape", value, draft.tensor((-1, width), np.int64)), batch=None)
    return [type(op) for op in draft.program().ops]


def test_a_constant_is_laid_in_the_order_of_the_value() -> None:
    d = Draft("tf")
    turned = d.add("Transpose", _frame(d, 2, 3), perm=[0, 2, 1])
    made = d.add("Mul", turned, d.tensor([[1.0, 2.0]]))
    back = d.add("Transpose", made, perm=[0, 2, 1])
    assert _flat(d, back, 6) == [Linear, Elementwise]
    gain = d.program().ops[1]
    assert isinstance(gain, Elementwise)
    assert gain.constant.tolist() == [1, 1, 1, 2, 2, 2]


def test_a_reduction_of_the_last_axis_moves_nothing() -> None:
    d = Draft("tf")
    made = d.add("ReduceMean", _frame(d, 3, 8), d.tensor([2], np.int64), keepdims=0)
    assert _flat(d, made, 3) == [Linear, Reduce]


def test_a_reduction_of_another_axis_is_one_move_more() -> None:
    d = Draft("tf")
    made = d.add("ReduceMax", _frame(d, 3, 8), d.tensor([1], np.int64), keepdims=1)
    assert _flat(d, made, 8) == [Linear, Take, Reduce]


def test_a_normalization_of_each_channel_has_the_scale_of_its_channel() -> None:
    d = Draft("tf")
    made = d.add("InstanceNormalization", _frame(d, 2, 3), d.tensor([2.0, 3.0]), d.tensor([0.5, 1.0]))
    assert _flat(d, made, 6) == [Linear, LayerNorm]
    norm = d.program().ops[1]
    assert isinstance(norm, LayerNorm)
    assert (norm.scale.tolist(), norm.bias.tolist(), norm.part) == ([2, 2, 2, 3, 3, 3], [0.5] * 3 + [1.0] * 3, 3)


def test_a_reduction_over_time_is_refused() -> None:
    d = Draft("tf")
    made = d.add("ReduceMean", _frame(d, 3, 8), d.tensor([0, 2], np.int64), keepdims=1)
    d.answer(d.add("Reshape", made, d.tensor([-1, 3], np.int64)), batch=None)
    with pytest.raises(UnsupportedError, match=r"axes \[0, 2\] of \(time, feature, feature\), one of them is time"):
        d.program()
