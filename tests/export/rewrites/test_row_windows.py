"""What reads rows of other frames gets them first: the graph before and after gives the same values."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from tidegate.export.graph.editing import input_named
from tidegate.export.proof.runner import quiet_session
from tidegate.export.rewrites.frames_of_rows import write_rows
from tidegate.export.rewrites.rows import find_rows
from tidegate.runtime.errors import UnsupportedError
from tools.foreign_files import ForeignFile

Build = Callable[[ForeignFile, str], str]
ROWS, CHANNELS = 24, 4


def heard(build: Build) -> onnx.ModelProto:
    """Return a file: x `[batch, 4, rows]`, what is built, and an LSTM."""
    file = ForeignFile(17)
    value = build(file, file.input("x", ("batch", CHANNELS, "rows")))
    y = file.cell("LSTM", file.add("Transpose", [value], perm=[2, 0, 1]), CHANNELS, 3)[0]
    file.output(y, (None, 1, None, 3))
    return file.model()


def answers(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    found: np.ndarray = quiet_session(model.SerializeToString()).run(None, {"x": x})[0]
    return found


def pool(op: str, **options: object) -> Build:
    def build(file: ForeignFile, x: str) -> str:
        return file.add(op, [x], kernel_shape=[3], strides=[2], **options)

    return build


def conv(**options: object) -> Build:
    def build(file: ForeignFile, x: str) -> str:
        return file.add("Conv", [x, file.weight(CHANNELS, CHANNELS, 5)], **options)

    return build


def after(first: Build, then: Build) -> Build:
    return lambda file, x: then(file, first(file, x))


def relu(file: ForeignFile, x: str) -> str:
    return file.add("Relu", [x])


def cut(start: int, step: int = 1) -> Build:
    def build(file: ForeignFile, x: str) -> str:
        return file.add("Slice", [x, file.axes(start), file.axes(2**62), file.axes(2), file.axes(step)])

    return build


def zeros(*pads: int) -> Build:
    return lambda file, x: file.add("Pad", [x, file.axes(*pads)])


STRIDE = conv(strides=[2], pads=[3, 0])
FORMS = {
    "SAME_UPPER": conv(strides=[2], auto_pad="SAME_UPPER"),
    "SAME_LOWER": after(conv(strides=[3], auto_pad="SAME_LOWER"), conv(strides=[2], auto_pad="SAME_UPPER")),
    "dilated": conv(strides=[2], dilations=[3], pads=[11, 0]),
    "later than it must be": conv(strides=[2], pads=[4, 0]),
    "rows before and after": after(conv(pads=[2, 2]), STRIDE),
    "largest of a ReLU": after(relu, pool("MaxPool", pads=[1, 0])),
    "mean with its zeros": pool("AveragePool", pads=[1, 0], count_include_pad=1),
    "pad and cut": after(after(zeros(0, 0, 4, 0, 0, 0), cut(1)), after(relu, after(cut(3), STRIDE))),
    "a step of a moved signal": after(zeros(0, 0, 1, 0, 0, -1), cut(0, 2)),
}


@pytest.mark.parametrize("form", FORMS)
def test_frames_of_rows_have_the_values_of_the_whole_signal(form: str) -> None:
    model = heard(FORMS[form])
    x = np.random.default_rng(0).standard_normal((2, CHANNELS, ROWS)).astype(np.float32)
    wanted = answers(model, x)
    rows = find_rows(model, "x", (0, 2))
    assert rows is not None
    write_rows(model, "x", rows)
    assert input_named(model, "x").type.tensor_type.elem_type == TensorProto.FLOAT
    seen = answers(model, rows.frames(x))
    np.testing.assert_allclose(seen[: len(wanted)], wanted, atol=1e-6)
    assert len(seen) == ROWS // rows.count


REFUSED = {
    r"MaxPool.*pools rows with 1 before the first that do not count": pool("MaxPool", pads=[1, 0]),
    r"AveragePool.*padding 0 along time, a MaxPool after a ReLU, or count": pool("AveragePool", pads=[1, 0]),
    r"Slice.*cuts the rows from 0 on in steps of 1, wanted a start from 0 on, along this axis alone": after(
        lambda file, x: file.add("Slice", [x, file.axes(0, 0), file.axes(2**62, 4), file.axes(2, 1)]), STRIDE
    ),
    r"Pad.*it pads the rows, and not by zeros": after(
        lambda file, x: file.add("Pad", [x, file.axes(0, 0, 1, 0, 0, 0)], mode="edge"), STRIDE
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_moves_rows_otherwise_is_refused_by_name(message: str) -> None:
    model = heard(REFUSED[message])
    rows = find_rows(model, "x", (0, 2))
    assert rows is not None
    with pytest.raises(UnsupportedError, match=message):
        write_rows(model, "x", rows)
