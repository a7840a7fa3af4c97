"""The taps of a kernel: pads by name are those of ONNX."""

import pytest
from onnx import helper
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.lowering.taps import Taps, taps_of


@pytest.mark.parametrize(("method", "before"), [("SAME_UPPER", 0), ("SAME_LOWER", 1), ("VALID", 0), ("NOTSET", 0)])
def test_pads_by_name(method: str, before: int) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], auto_pad=method, strides=[2])
    answers = 4 if method.startswith("SAME") else 3
    assert taps_of(node, [8], [3]) == [Taps(8, 3, 2, 1, before, answers)]


def test_a_kernel_without_an_answer_is_refused() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv", dilations=[4])
    with pytest.raises(UnsupportedError, match="3 taps 4 apart give 0 answers inside a frame of 8 places"):
        taps_of(node, [8], [3])
