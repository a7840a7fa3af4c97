"""A Pad before nodes that turn axes becomes one after them, and the convolution streams."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import tidegate
from tidegate.export.rewrites.pads import move_pads
from tools.foreign_files import ForeignFile

onnxruntime = pytest.importorskip("onnxruntime")


def _keras(kernel_last: bool, *, causal: bool = True, twice: bool = False) -> ForeignFile:
    """A Conv1d of Keras as tf2onnx writes it: Pad, Transpose, Unsqueeze, Conv with a kernel of two axes, Squeeze."""
    file = ForeignFile(17)
    x = file.input("x", [1, "frames", 5])
    padded = file.add("Pad", [x, file.axes(0, 2 if causal else 1, 0, 0, 0 if causal else 1, 0)])
    turned = file.add("Transpose", [padded], perm=[0, 2, 1])
    axis, kernel = (2, [1, 3]) if kernel_last else (3, [3, 1])
    wide = file.add("Unsqueeze", [turned, file.axes(axis)])
    made = file.add("Conv", [wide, file.weight(4, 5, *kernel), file.weight(4)], kernel_shape=kernel)
    value = file.add("Transpose", [file.squeezed(made, axis)], perm=[2, 0, 1])
    y, *_ = file.cell("GRU", file.add("Relu", [value]), 4, 6, linear_before_reset=1)
    answer = file.add("Transpose", [file.squeezed(y, 1)], perm=[1, 0, 2])
    file.output(file.head(answer, 6, 3, "y"), [1, "frames", 3])
    if twice:
        file.output(file.add("Identity", [padded], "padded"), [1, None, 5])
    return file


@pytest.mark.parametrize("kernel_last", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_row_88_a_conv1d_written_as_conv2d_streams(tmp_path: Path, *, kernel_last: bool, causal: bool) -> None:
    onnx.save(_keras(kernel_last, causal=causal).model(), tmp_path / "foreign.onnx")
    tidegate.lift(tmp_path / "foreign.onnx", tmp_path / "out.onnx")
    x = np.random.default_rng(0).standard_normal((15, 5)).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "foreign.onnx", providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"x": x[None]})[0][0]
    model = tidegate.load(tmp_path / "out.onnx", "native")
    assert model.contract.lookahead == (0 if causal else 1)
    stream = model.stream()
    answers = [stream.push(x[i : i + 4]) for i in range(0, 15, 4)]
    seen = np.concatenate([*answers, *([] if causal else [stream.finish()])])
    np.testing.assert_allclose(seen, wanted, atol=2e-6)


def _order(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node][:4]


@pytest.mark.parametrize(
    ("twice", "order"),
    [
        (False, ["Transpose", "Unsqueeze", "Pad", "Conv"]),
        (True, ["Pad", "Transpose", "Unsqueeze", "Conv"]),
    ],
)
def test_a_pad_that_something_else_reads_stays(order: list[str], *, twice: bool) -> None:
    model = _keras(kernel_last=True, twice=twice).model()
    x = np.random.default_rng(0).standard_normal((1, 9, 5)).astype(np.float32)
    before = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    move_pads(model)
    assert _order(model) == order
    onnx.checker.check_model(model, full_check=True)
    after = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for one, other in zip(before.run(None, {"x": x}), after.run(None, {"x": x}), strict=True):
        np.testing.assert_array_equal(one, other)
