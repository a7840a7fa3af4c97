"""Files with strides over time: several rows are a frame, whatever sizes the file fixes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import tidegate
from tidegate.export.proof.runner import quiet_session
from tools.foreign_files import ForeignFile

FEATURES, ROWS = 6, 25


def spotter(batch: int | str, rows: int | str, *, flat: bool = False) -> onnx.ModelProto:
    """Return a keyword spotter as tf2onnx writes it: a Conv2d without zeros, a GRU, an answer after the last frame."""
    file, streams = ForeignFile(17), 1 if batch == 1 else -1
    if flat:
        signal = file.input("x", (1, ROWS * FEATURES))
        x = file.add("Reshape", [signal, file.axes(1, 1, ROWS, FEATURES)])
    else:
        x = file.add("Unsqueeze", [file.input("x", (batch, rows, FEATURES)), file.axes(1)])
    y = file.add("Relu", [file.add("Conv", [x, file.weight(3, 1, 6, 2)], strides=[2, 2])])
    y = file.add("Transpose", [y], perm=[0, 2, 3, 1])
    if isinstance(rows, int):
        frames = (rows - 6) // 2 + 1
        y = file.add("Reshape", [y, file.axes(frames, 1, 9) if streams == 1 else file.axes(streams, frames, 9)])
        y = y if streams == 1 else file.add("Transpose", [y], perm=[1, 0, 2])
    else:
        y = file.add("Reshape", [y, file.axes(0, 0, 9)])
        y = file.add("Transpose", [y], perm=[1, 0, 2])
    last = file.squeezed(file.cell("GRU", y, 9, 5, linear_before_reset=1)[1], 0)
    file.output(file.head(last, 5, 4, "scores"), (batch, 4))
    return file.model()


SIZES: dict[str, onnx.ModelProto] = {
    "any": spotter("batch", "rows"),
    "one stream": spotter(1, "rows"),
    "one length": spotter("batch", ROWS),
    "one stream of one length": spotter(1, ROWS),
    "all rows in one axis": spotter(1, ROWS, flat=True),
}


@pytest.mark.parametrize("sizes", SIZES)
def test_row_217_rows_of_a_file_make_a_frame_whatever_sizes_it_fixes(tmp_path: Path, sizes: str) -> None:
    """A Conv2d without zeros looks ahead: the answer of a frame comes with the last row that it reads."""
    source, path = tmp_path / "vendor.onnx", tmp_path / "m.onnx"
    onnx.save(SIZES[sizes], source)
    report = tidegate.lift(source, path, sample_rate=16000, hop=160)
    assert (report.contract.lookahead, report.contract.hop, report.refused) == (2, 320, {})
    rows = np.random.default_rng(0).standard_normal((ROWS, FEATURES)).astype(np.float32)
    frames = rows[:24].reshape(-1, 2, FEATURES)
    given = rows.reshape(1, -1) if sizes == "all rows in one axis" else rows[None]
    wanted = quiet_session(SIZES[sizes].SerializeToString()).run(None, {"x": given})[0]
    for chunk in (1, 7, 12):
        stream = tidegate.load(path).stream()
        parts = [stream.push(frames[start : start + chunk]) for start in range(0, 12, chunk)]
        np.testing.assert_allclose(parts[-1], wanted[0], atol=2e-6)
