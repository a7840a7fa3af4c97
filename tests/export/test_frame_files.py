"""Foreign files with frames of several axes, as converters write them: lifted, and native as the file itself."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import tidegate
from tidegate.runtime.arrays import Array, Floats
from tools.foreign_files import ForeignFile

onnxruntime = pytest.importorskip("onnxruntime")

BOUNDS = {"float32": 2e-6, "int8": 0.05}  # of answers of order 1; seen: 6e-7, 0.02
STATES = ("input_2", "input_3", "input_6", "input_7")
ANSWERS = ("output_2", "output_3", "output_6", "output_7")


def _voice_activity() -> ForeignFile:
    """One frame `[1, 3, 41]` per run, separable convolutions inside it, four states of two axes, for one stream."""
    file = ForeignFile(13)
    x, states = file.input("input_1", [1, 3, 41]), [file.input(name, [1, 16]) for name in STATES]
    y = file.add("Unsqueeze", [x, file.axes(1)])
    y = file.add("Conv", [y, file.weight(1, 1, 3, 3), file.weight(1)], kernel_shape=[3, 3], pads=[0, 1, 0, 1])
    y = file.add("Relu", [file.add("Conv", [y, file.weight(16, 1, 1, 1), file.weight(16)], kernel_shape=[1, 1])])
    y = file.add("MaxPool", [y], kernel_shape=[1, 3], strides=[1, 2])
    each = {"kernel_shape": [1, 3], "strides": [1, 2], "pads": [0, 1, 0, 1], "group": 16}
    y = file.add("Conv", [y, file.weight(16, 1, 1, 3), file.weight(16)], **each)
    y = file.add("Relu", [file.add("Conv", [y, file.weight(16, 16, 1, 1), file.weight(16)], kernel_shape=[1, 1])])
    y = file.add("Reshape", [file.add("Transpose", [y], perm=[0, 2, 3, 1]), file.axes(1, 1, 160)])
    y, width, finals = file.add("Transpose", [y], perm=[1, 0, 2]), 160, list[str]()
    for layer in (0, 1):
        start = [file.add("Unsqueeze", [states[2 * layer + k], file.axes(0)]) for k in (0, 1)]
        answers, h, c = file.cell("LSTM", y, width, 16, start)
        finals += [file.squeezed(h, 0), file.squeezed(c, 0)]
        y, width = file.squeezed(answers, 1), 16
    y = file.head(file.add("Transpose", [y], perm=[1, 0, 2]), 16, 1, "score")
    file.output(file.add("Sigmoid", [y], "output_1"), [1, 1, 1])
    for name, final in zip(ANSWERS, finals, strict=True):
        file.output(file.add("Identity", [final], name), [1, 16])
    return file


def _channels_last() -> ForeignFile:
    """A keyword spotter `[batch, time, bins, 1]`: transposes around a causal convolution, padded before them."""
    file = ForeignFile(15)
    x = file.add("Pad", [file.input("x", ["N", "T", 20, 1]), file.axes(0, 2, 1, 0, 0, 0, 1, 0)])
    y = file.add("Transpose", [x], perm=[0, 3, 1, 2])
    weights = [file.weight(8, 1, 3, 3), file.weight(8)]
    y = file.add("Relu", [file.add("Conv", [y, *weights], kernel_shape=[3, 3], strides=[1, 2])])
    y = file.add("Reshape", [file.add("Transpose", [y], perm=[0, 2, 3, 1]), file.axes(0, -1, 80)])
    answers, _ = file.cell("GRU", file.add("Transpose", [y], perm=[1, 0, 2]), 80, 16, linear_before_reset=1)
    y = file.add("Transpose", [file.squeezed(answers, 1)], perm=[1, 0, 2])
    file.output(file.head(y, 16, 4, "y"), ["N", "T", 4])
    return file


def _streamed(path: Path, x: Floats, chunk: int) -> Floats:
    stream = tidegate.load(path, "native").stream()
    return np.concatenate([stream.push(x[i : i + chunk]) for i in range(0, len(x), chunk)])


def _check(folder: Path, x: Floats, wanted: Floats) -> tidegate.LiftReport:
    report = tidegate.lift(folder / "foreign.onnx", folder / "float32.onnx")
    tidegate.quantize(folder / "float32.onnx", folder / "int8.onnx")
    for name, bound in BOUNDS.items():
        seen = _streamed(folder / f"{name}.onnx", x, 1)
        error = float(np.abs(seen - wanted).max())
        print(f"{name}: {error:.1e}")
        assert error <= bound
        for chunk in (7, len(x)):
            np.testing.assert_array_equal(_streamed(folder / f"{name}.onnx", x, chunk), seen)
    return report


def test_voice_activity_with_separable_convolutions_inside_a_frame(tmp_path: Path) -> None:
    onnx.save(_voice_activity().model(), tmp_path / "foreign.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "foreign.onnx", providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((20, 3, 41)).astype(np.float32)
    states: list[Array] = [np.zeros((1, 16), np.float32)] * 4
    wanted = []
    for frame in x:
        answer, *states = session.run(
            ["output_1", *ANSWERS], {"input_1": frame[None], **dict(zip(STATES, states, strict=True))}
        )
        wanted.append(answer[0])
    report = _check(tmp_path, x, np.stack(wanted))
    assert [state.shape for state in report.contract.states] == [(2, 1, 16)] * 2


def test_a_keyword_spotter_with_channels_last(tmp_path: Path) -> None:
    onnx.save(_channels_last().model(), tmp_path / "foreign.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "foreign.onnx", providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((30, 20, 1)).astype(np.float32)
    report = _check(tmp_path, x, session.run(None, {"x": x[None]})[0][0])
    assert [state.kind for state in report.contract.states] == ["tail", "h"]
