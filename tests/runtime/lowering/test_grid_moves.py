"""Moving values inside a frame of several axes costs nothing, or one operation."""

import numpy as np
import pytest
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.operators import Concat, Linear, Map, Slice, Take
from tools.drafts import FEATURES, Draft, refuses


def _frame(draft: Draft, *shape: int) -> str:
    """Return a frame `[time, *shape]` made by a linear layer."""
    wide = draft.add("MatMul", "x", draft.weights(FEATURES, int(np.prod(shape)), axis=1))
    return draft.add("Reshape", wide, draft.tensor((-1, *shape), np.int64))


def _flat(draft: Draft, value: str, width: int) -> list[type]:
    draft.answer(draft.add("Reshape", value, draft.tensor((-1, width), np.int64)), batch=None)
    return [type(op) for op in draft.program().ops]


def test_moves_that_come_back_cost_nothing() -> None:
    d = Draft("tf")
    turned = d.add("Transpose", _frame(d, 3, 8), perm=[0, 2, 1])
    wide = d.add("Tanh", d.unsqueeze(turned, 1))
    back = d.add("Transpose", d.squeeze(wide, 1), perm=[0, 2, 1])
    assert _flat(d, back, 24) == [Linear, Map]


def test_values_in_another_order_are_one_operation() -> None:
    d = Draft("tf")
    turned = d.add("Transpose", d.add("Transpose", _frame(d, 3, 2, 4), perm=[0, 2, 1, 3]), perm=[0, 1, 3, 2])
    assert _flat(d, turned, 24) == [Linear, Take]


def test_adjacent_values_are_a_slice_and_are_selected_once() -> None:
    d = Draft("tf")
    frame = _frame(d, 3, 8)
    first = d.add("Slice", frame, *(d.tensor([n], np.int64) for n in (1, 2, 1)))
    both = d.add("Concat", d.add("Tanh", first), d.add("Sigmoid", first), axis=1)
    assert _flat(d, both, 16) == [Linear, Slice, Map, Map, Concat]


def test_padding_with_other_values_than_zeros_is_refused() -> None:
    def build(d: Draft) -> None:
        pads = d.tensor([0, 0, 1, 0, 0, 1], np.int64)
        d.answer(d.add("Pad", d.layer("x"), pads, d.tensor(1.0)))

    refuses(build, UnsupportedError, "its mode is 'constant', wanted reflect, edge, or zeros")


@pytest.mark.parametrize(
    ("op", "values", "message"),
    [
        ("Tile", (2, 1, 1), "it repeats (time, feature, feature) [2, 1, 1] times, wanted features only"),
        ("Expand", (5, 3, 8), "it widens (time, feature, feature) to [5, 3, 8], wanted features only"),
        ("Reshape", (3, -1, 8), "it turns axes (time, feature, feature) with 24 features into [3, -1, 8]"),
    ],
)
def test_moving_values_along_time_is_refused(op: str, values: tuple[int, ...], message: str) -> None:
    d = Draft("tf")
    d.answer(d.add(op, _frame(d, 3, 8), d.tensor(values, np.int64)), batch=None)
    with pytest.raises(UnsupportedError) as caught:
        d.program()
    assert message in str(caught.value)
