"""Pools inside a frame, as operations; their answers are compared in test_grids."""

import numpy as np
import pytest
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.operators import Elementwise, Linear, Reduce, Take
from tools.drafts import FEATURES, Draft


def _pooled(op: str, **options: object) -> list[type]:
    d = Draft("tf")
    wide = d.add("MatMul", "x", d.weights(FEATURES, 16, axis=1))
    frame = d.add("Reshape", wide, d.tensor((-1, 2, 8), np.int64))
    made = d.add(op, frame, **options)  # type: ignore[arg-type]  # attributes
    d.answer(d.add("Flatten", made), batch=None)
    return [type(op) for op in d.program().ops]


def test_windows_that_touch_are_parts_of_the_value() -> None:
    assert _pooled("MaxPool", kernel_shape=[2], strides=[2]) == [Linear, Reduce]


def test_windows_that_overlap_are_taken_first() -> None:
    assert _pooled("AveragePool", kernel_shape=[3]) == [Linear, Take, Reduce]


def test_an_average_without_its_zeros_divides_by_the_values_inside() -> None:
    assert _pooled("AveragePool", kernel_shape=[3], pads=[1, 1]) == [Linear, Take, Reduce, Elementwise]


def test_a_pool_along_time_is_refused_and_one_inside_a_frame_is_taken() -> None:
    d = Draft("tf")
    along = d.add("Transpose", d.add("Unsqueeze", "x", d.tensor((0,), np.int64)), perm=[0, 2, 1])
    d.answer(d.add("Transpose", d.add("MaxPool", along, kernel_shape=[3]), perm=[0, 2, 1]), batch=None)
    with pytest.raises(UnsupportedError, match="along time, wanted a kernel of one frame; pool inside a frame only"):
        d.program()
    assert _pooled("MaxPool", kernel_shape=[3]) == [Linear, Take, Reduce]


def test_a_last_window_that_is_not_whole_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="ceil_mode is 1, wanted 0: answers of whole windows only"):
        _pooled("MaxPool", kernel_shape=[3], strides=[2], ceil_mode=1)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_a_window_of_zeros_alone_is_refused(op: str) -> None:
    """Its largest value is the lowest float in onnxruntime, and its average is no number."""
    beside = {"kernel_shape": [2], "strides": [7], "pads": [2, 4]}
    with pytest.raises(UnsupportedError, match="one of its windows lies beside the frame, in zeros alone, wanted a va"):
        _pooled(op, **beside)
    assert _pooled("AveragePool", count_include_pad=1, **beside) == [Linear, Take, Reduce]
