"""Files whose sizes are all fixed: their Reshapes hold the length and the streams of the example."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tidegate.export.foreign.fixed_sizes import follow_streams, open_sizes
from tidegate.runtime.graph.graph import Graph
from tools.foreign_files import ForeignFile
from tools.lifting import assert_streams_as, lifted, original

FRAMES = 9


def _model(target: Sequence[int], shape: Sequence[int | str]) -> ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("Reshape", ["x", "target"], ["y"], "shaped")
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(np.array(target, np.int64), "target")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize(
    ("target", "shape", "opened"),
    [
        ((1, 6, 2), (1, 3, 4), [0, 6, 2]),
        ((1, 2, 6), (1, 3, 4), [0, 2, 6]),
        ((4, 3, 2, 2), (4, 3, 4), [0, 0, 2, 2]),
        ((4, 3, -1), (4, 3, 2, 2), [0, 0, -1]),
        ((1, -1, 6), (1, 3, 4), [0, -1, 6]),  # its free axis may be time
        ((12, 4), (4, 3, 4), [-1, 4]),
        ((12, 1, 4), (4, 3, 4), [-1, 1, 4]),
        ((-1, 3, 4), (1, 3, 4), [-1, 3, 4]),
        ((2, 2, 3), (3, 4), [2, 2, 3]),
        ((1, 3, 4), (1, "time", 4), [1, 3, 4]),
    ],
)
def test_a_reshape_keeps_the_first_sizes_open(
    target: Sequence[int], shape: Sequence[int | str], opened: list[int]
) -> None:
    model = _model(target, shape)
    open_sizes(model, "x")
    seen = Graph(model).constant(model.graph.node[0].input[1])
    assert seen is not None
    assert seen.tolist() == opened


class _Folding(torch.nn.Module):
    """A tagger that folds frames into streams around its layers, as speech models do."""

    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        self.fc, self.norm = torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8)
        self.lstm = torch.nn.LSTM(8, 10, 2, batch_first=batch_first)
        self.out = torch.nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b, features = x.shape
        y = torch.relu(self.norm(self.fc(x.reshape(a * b, features)))).reshape(a, b, 8)
        y = self.lstm(y)[0]
        return self.out(y.reshape(a * b, 10)).view(a, b, 3)  # type: ignore[no-any-return]  # a Linear is untyped


def _exported(module: torch.nn.Module, example: torch.Tensor, **options: object) -> ModelProto:
    buffer = io.BytesIO()
    torch.manual_seed(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter
        torch.onnx.export(module.eval(), (example,), buffer, dynamo=False, input_names=["x"], **options)  # type: ignore[arg-type]
    return onnx.load_from_string(buffer.getvalue())


@pytest.mark.parametrize("streams", [1, 4])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("free", [True, False])
def test_row_140_a_file_that_states_its_sizes_streams(
    streams: int, tmp_path: Path, *, batch_first: bool, free: bool
) -> None:
    shape = (streams, FRAMES, 6) if batch_first else (FRAMES, streams, 6)
    axis = int(batch_first)
    model = _exported(
        _Folding(batch_first=batch_first), torch.randn(shape), dynamic_axes={"x": {axis: "t"}} if free else None
    )
    lifted(tmp_path, model)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    wanted = original(tmp_path, x)
    assert_streams_as(tmp_path, np.take(x, 0, 1 - axis), np.take(wanted, 0, 1 - axis))


class _TimeLast(torch.nn.Module):
    """A mask of spectra `[batch, bins, frames]`."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = torch.nn.GRU(6, 10, batch_first=True), torch.nn.Linear(10, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.out(self.gru(x.permute(0, 2, 1))[0])).permute(0, 2, 1)


def test_time_may_be_the_last_axis_of_a_file_for_one_stream(tmp_path: Path) -> None:
    lifted(tmp_path, _exported(_TimeLast(), torch.randn(1, 6, FRAMES)))
    x = np.random.default_rng(1).standard_normal((1, 6, FRAMES)).astype(np.float32)
    assert_streams_as(tmp_path, x[0].T.copy(), original(tmp_path, x)[0].T)


def _one_frame() -> ForeignFile:
    """A frame and a state per run, by TensorFlow: a 1x1 convolution, and an RNN whose transposition is a Reshape."""
    file = ForeignFile(13)
    x, h = file.input("x", [1, 1, 6]), file.input("h", [1, 10])
    y = file.add("Reshape", [file.add("Unsqueeze", [x, file.axes(-3)]), file.axes(1, 6, 1, 1)])
    y = file.add("Conv", [y, file.weight(8, 6, 1, 1)], kernel_shape=[1, 1])
    y = file.add("Reshape", [file.add("Squeeze", [y, file.axes(2)]), file.axes(1, 1, 8)])
    y = file.add("Reshape", [y, file.axes(1, 1, 8)])  # the transposition
    y = file.add("Squeeze", [file.add("Split", [y], axis=0), file.axes(0)])
    sums = [file.add("MatMul", [y, file.weight(8, 10)]), file.add("MatMul", [h, file.weight(10, 10)])]
    new = file.add("Tanh", [file.add("Add", sums)], "hn")
    y = file.add("Reshape", [file.add("Unsqueeze", [new, file.axes(0)]), file.axes(1, 10)])
    y = file.add("Reshape", [file.add("MatMul", [y, file.weight(10, 3)]), file.axes(1, 1, 3)])
    file.output(file.add("Mul", [y, _gate(file, x)], "y"), [1, 1, 3])
    file.output(new, [1, 10])
    return file


def _gate(file: ForeignFile, x: str) -> str:
    """Return a value `[1, 1, 3]` of the frame itself: it has the streams first."""
    return file.add("MatMul", [x, file.weight(6, 3)])


def test_row_141_one_frame_of_one_stream_becomes_many_frames(tmp_path: Path) -> None:
    import onnxruntime

    model = _one_frame().model()
    lifted(tmp_path, model)
    session = onnxruntime.InferenceSession(tmp_path / "foreign.onnx", providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((FRAMES, 6)).astype(np.float32)
    h, wanted = np.zeros((1, 10), np.float32), []
    for frame in x:
        y, h = session.run(["y", "hn"], {"x": frame[None, None], "h": h})
        wanted.append(y[0, 0])
    assert_streams_as(tmp_path, x, np.array(wanted))


def test_a_file_of_more_frames_is_not_followed() -> None:
    model = _model((1, 3, 4), (1, 3, 4))
    follow_streams(model, "x")
    assert model == _model((1, 3, 4), (1, 3, 4))
