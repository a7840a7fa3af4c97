"""The layout of an opened file: frames as they are, or several rows as one, and the first refusal if neither fits."""

from pathlib import Path

import onnx
import pytest
import tidegate
from tidegate.export.foreign.file_layout import layout_of
from tidegate.export.foreign.opening import FrameSize, open_file
from tidegate.runtime.errors import UnsupportedError
from tools.foreign_files import ForeignFile, keras


def test_a_file_of_frames_has_no_rows() -> None:
    opened, bare, layout = layout_of(open_file(keras(), {}, None, FrameSize(None, 0)))
    assert opened.rows is None
    assert layout is not None
    assert (layout.axes.time, layout.axes.batch, len(bare.graph.input)) == (1, 0, 1)


def stacked(rows: int) -> onnx.ModelProto:
    file = ForeignFile(17)
    x = file.add("Reshape", [file.input("x", (1, "rows", 6)), file.axes(1, -1, rows * 6)])
    y = file.cell("LSTM", file.add("Transpose", [x], perm=[1, 0, 2]), rows * 6, 3)[0]
    file.output(file.squeezed(y, 1), (None, 1, 3))
    return file.model()


def test_a_file_that_stacks_rows_has_frames_of_them() -> None:
    opened, _, layout = layout_of(open_file(stacked(4), {}, None, FrameSize(None, 0)))
    assert opened.rows is not None
    assert layout is not None
    assert (opened.rows.count, opened.rows.values, layout.axes.time) == (4, (6,), 1)


def test_a_file_that_lifts_neither_way_says_why(tmp_path: Path) -> None:
    file = ForeignFile(17)
    x = file.add("Softmax", [file.input("x", (1, "rows", 6))], axis=1)
    y = file.cell("LSTM", file.add("Transpose", [x], perm=[1, 0, 2]), 6, 3)[0]
    file.output(file.squeezed(y, 1), (None, 1, 3))
    onnx.save(file.model(), tmp_path / "vendor.onnx")
    with pytest.raises(UnsupportedError, match=r"Softmax.*takes a softmax over time"):
        tidegate.lift(tmp_path / "vendor.onnx", tmp_path / "m.onnx")
