"""Models of several signals that advance together: exported, streamed by name on both backends, quantized."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from tidegate.export import ExportReport, export_model, lift
from tidegate.quant import quantize
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import Piece
from tidegate.runtime.errors import ChunkError, RefusedRowsError
from tidegate.runtime.load import load
from tidegate.runtime.streams import Model
from torch import Tensor, nn

BACKENDS: tuple[Literal["native", "onnxruntime"], ...] = ("native", "onnxruntime")
FRAMES = 23


class Echo(nn.Module):
    """Echo cancellation: the far end and the near end."""

    def __init__(self) -> None:
        super().__init__()
        self.far, self.gru, self.fc = nn.Linear(4, 6), nn.GRU(11, 8, batch_first=True), nn.Linear(8, 5)

    def forward(self, near: Tensor, far: Tensor) -> Tensor:
        mask = torch.sigmoid(self.fc(self.gru(torch.cat([near, self.far(far)], 2))[0]))
        return near * mask


class TimeFirst(nn.Module):
    """Three signals [time, batch, features]."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LSTM(3, 6), nn.GRU(8, 4)

    def forward(self, x: Tensor, y: Tensor, z: Tensor) -> dict[str, Tensor]:
        h = self.first(x + z)[0]
        return {"wide": self.second(torch.cat([h, y], 2))[0], "deep": h[-1]}


class Plain(nn.Module):
    """Two signals [time, features] without a batch, and one learnt gain."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(3, 5)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        z: Tensor = self.rnn(torch.cat([x, y], 1))[0]
        return z


class Amplifier(nn.Module):
    """A sample, and two knobs that move with it."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, x: Tensor, gain: Tensor, tone: Tensor) -> Tensor:
        y: Tensor = x + self.fc(self.lstm(torch.cat([x, gain, tone], -1))[0])
        return y


class Tagger(nn.Module):
    """A word, its tag, and numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.tags = nn.Embedding(30, 8), nn.Embedding(7, 4)
        self.lstm, self.fc = nn.LSTM(15, 12, batch_first=True), nn.Linear(12, 3)

    def forward(self, word: Tensor, x: Tensor, tag: Tensor) -> Tensor:
        y: Tensor = self.fc(self.lstm(torch.cat([self.words(word), x, self.tags(tag)], -1))[0])
        return y


def words(*sizes: int) -> dict[str, Array]:
    """Return a word, numbers and a tag of random streams."""
    rng = np.random.default_rng(4)
    ids = {"word": rng.integers(0, 30, sizes), "tag": rng.integers(0, 7, sizes)}
    return {"word": ids["word"], "x": rng.standard_normal((*sizes, 3), np.float32), "tag": ids["tag"]}


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...], dict[str, int]]] = {
    "echo": (Echo, (torch.randn(2, 9, 5), torch.randn(2, 9, 4)), {"near": 5, "far": 4}),
    "time first": (
        TimeFirst,
        (torch.randn(9, 2, 3), torch.randn(9, 2, 2), torch.randn(9, 2, 3)),
        {"x": 3, "y": 2, "z": 3},
    ),
    "no batch": (Plain, (torch.randn(9, 2), torch.randn(9, 1)), {"x": 2, "y": 1}),
    "amplifier": (Amplifier, tuple(torch.randn(1, 9, 1) for _ in range(3)), {"x": 1, "gain": 1, "tone": 1}),
}


def pushed(model: Model, frames: dict[str, Array], chunk: int) -> dict[str, Array]:
    """Return the answers by output; of one without a time axis the last."""
    stream, found = model.stream(), dict[str, list[Array]]()
    timed = {port.name: port.time_axis is not None for port in model.contract.outputs}
    for at in range(0, FRAMES, chunk):
        answer = stream.push({name: values[at : at + chunk] for name, values in frames.items()})
        for name, values in (answer if isinstance(answer, dict) else {next(iter(timed)): answer}).items():
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) if timed[name] else values[-1] for name, values in found.items()}


@pytest.mark.parametrize("name", MODELS)
def test_row_92_signals_that_advance_together(name: str, tmp_path: Path) -> None:
    factory, example, sizes = MODELS[name]
    torch.manual_seed(3)
    module = factory()
    report = export_model(module, example, tmp_path / "m.onnx")
    assert {piece.name: piece.features for piece in report.contract.pieces} == sizes
    assert not report.refused
    rng = np.random.default_rng(1)
    frames = {key: rng.standard_normal((FRAMES, size), np.float32) for key, size in sizes.items()}
    batch = report.contract.inputs[0].batch_axis
    given = [torch.from_numpy(values if batch is None else np.expand_dims(values, batch)) for values in frames.values()]
    with torch.no_grad():
        made = module(*given)
    made = made if isinstance(made, dict) else {report.contract.outputs[0].name: made}
    for backend in BACKENDS:
        model = load(report.path, backend)
        assert model.contract.signals == tuple(sizes)
        found = [pushed(model, frames, chunk) for chunk in (1, 7, FRAMES)]
        for port in model.contract.outputs:
            wanted = made[port.name].numpy()
            wanted = wanted if batch is None else np.take(wanted, 0, port.batch_axis)
            np.testing.assert_allclose(found[0][port.name], wanted, rtol=0, atol=3e-6)
            for other in found[1:] if backend == "native" else ():
                np.testing.assert_array_equal(found[0][port.name], other[port.name])


def written(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    axes: dict[str, dict[int, str]],
    names: Sequence[str] = (),
) -> None:
    """Write a module as torch's exporter does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one
        torch.onnx.export(
            module.eval(), example, str(path), input_names=names or list(axes), dynamic_axes=axes, dynamo=False
        )


@pytest.mark.parametrize("free", [True, False])
def test_signals_of_a_third_party_file(tmp_path: Path, *, free: bool) -> None:
    torch.manual_seed(3)
    module, frames = Echo(), {"near": 5, "far": 4}
    example = tuple(torch.randn(2 if free else 1, 9, size) for size in frames.values())
    axes = {name: {0: "batch", 1: "time"} if free else {1: "time"} for name in frames}
    path = tmp_path / "foreign.onnx"
    written(module, example, path, axes)
    report = lift(path, tmp_path / "m.onnx")
    assert "Its signals are near, far." in report.done
    assert not report.refused
    rng = np.random.default_rng(1)
    given = {name: rng.standard_normal((FRAMES, size), np.float32) for name, size in frames.items()}
    with torch.no_grad():
        wanted = module(*(torch.from_numpy(values)[None] for values in given.values()))[0].numpy()
    for backend in BACKENDS:
        for chunk in (1, 7):
            (seen,) = pushed(load(report.path, backend), given, chunk).values()
            np.testing.assert_allclose(seen, wanted, rtol=0, atol=3e-6)


@pytest.mark.parametrize("foreign", [False, True])
def test_row_210_ids_next_to_numbers_are_streamed_exactly(tmp_path: Path, *, foreign: bool) -> None:
    torch.manual_seed(3)
    module, path = Tagger().eval(), tmp_path / "m.onnx"
    example = tuple(torch.from_numpy(values) for values in words(2, 9).values())
    if foreign:
        axes = {name: {0: "batch", 1: "time"} for name in words(1, 1)}
        written(module, example, tmp_path / "foreign.onnx", axes)
        report: ExportReport = lift(tmp_path / "foreign.onnx", path)
    else:
        report = export_model(module, example, path)
    assert report.contract.pieces == (Piece("word", ()), Piece("x", (3,)), Piece("tag", ()))
    assert not report.refused
    quantize(path, tmp_path / "q.onnx")
    frames = words(FRAMES)
    with torch.no_grad():
        wanted = module(*(torch.from_numpy(values)[None] for values in frames.values()))[0].numpy()
    for backend in BACKENDS:
        for file, bound in ((path, 3e-6), (tmp_path / "q.onnx", 0.05)):
            model, name = load(file, backend), report.contract.outputs[0].name
            found = [pushed(model, frames, chunk)[name] for chunk in (1, 7, FRAMES)]
            np.testing.assert_allclose(found[0], wanted, rtol=0, atol=bound)
            for other in found[1:] if backend == "native" else ():
                np.testing.assert_array_equal(found[0], other)


def test_ids_that_are_none_are_refused_by_name(tmp_path: Path) -> None:
    path = export_model(Tagger(), tuple(map(torch.from_numpy, words(2, 9).values())), tmp_path / "m.onnx").path
    frames = words(3)
    for backend in BACKENDS:
        stream = load(path, backend).stream()
        for wrong, message in (
            (np.array([3, -1, 2]), "chunk holds id -1 in signal 'word' at frame 1; wanted 0"),
            (np.array([3.0, 1.0, 2.0]), "signal 'word' has dtype float64, wanted ids, which are integers"),
            (np.zeros((3, 1), np.int64), r"signal 'word' has shape \(3, 1\), wanted \(frames\)"),
        ):
            with pytest.raises(ChunkError, match=message):
                stream.push(frames | {"word": wrong})
        assert stream.frames == 0
    model = load(path, "native")
    for wrong_id in (7, 2**24, 2**40):
        with pytest.raises(ChunkError, match=rf"chunk holds id {wrong_id} in signal 'tag' at frame 2; wanted 0 to 6"):
            model.stream().push(frames | {"tag": np.array([0, 1, wrong_id])})
    with pytest.raises(RefusedRowsError) as error:
        model.streams(2).push({name: np.stack([v, v + 3 * (name == "tag")]) for name, v in words(20).items()})
    assert "in signal 'tag'" in error.value.refused[1]
    with pytest.raises(ChunkError, match="has no frame of zeros; hold or reset"):
        model.stream().skip(3, "zeros")


def test_a_net_with_ids_next_to_numbers_is_calibrated(tmp_path: Path) -> None:
    torch.manual_seed(3)
    path = export_model(Tagger(), tuple(map(torch.from_numpy, words(2, 9).values())), tmp_path / "m.onnx").path
    report = quantize(path, tmp_path / "q.onnx", calibration=[words(120)])
    assert report.calibration is not None
    assert report.calibration.error < 0.02


class Conditioned(nn.Module):
    """Two signals, and a vector that stays the same."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(9, 12, batch_first=True), nn.Linear(12, 5)

    def forward(self, near: Tensor, far: Tensor, speaker: Tensor) -> Tensor:
        wide = speaker[:, None].expand(-1, near.shape[1], -1)
        y: Tensor = self.fc(self.gru(torch.cat([near, far, wide], 2))[0])
        return y


def test_quantized_with_and_without_calibration(tmp_path: Path) -> None:
    torch.manual_seed(3)
    example = torch.randn(2, 9, 3), torch.randn(2, 9, 2), torch.randn(2, 4)
    path = export_model(Conditioned(), example, tmp_path / "m.onnx").path
    rng = np.random.default_rng(1)
    sizes = {"near": (200, 3), "far": (200, 2), "speaker": (1, 4)}
    streams = [{k: rng.standard_normal(shape, np.float32) for k, shape in sizes.items()} for _ in range(5)]
    report = quantize(path, tmp_path / "q.onnx")
    assert report.answers is not None
    assert report.answers.error < 0.05
    calibrated = quantize(path, tmp_path / "c.onnx", calibration=streams)
    assert calibrated.calibration is not None
    assert calibrated.calibration.error < 0.02
    for backend in BACKENDS:
        float_model, made = load(path, backend), load(tmp_path / "c.onnx", backend)
        stream = {name: streams[0][name] for name in ("near", "far")}
        state = {"speaker": streams[0]["speaker"]}
        wanted, seen = (model.stream(state).push(stream) for model in (float_model, made))
        np.testing.assert_allclose(seen, wanted, rtol=0, atol=0.05)


class Encoder(nn.Module):
    """Features of two kinds, channels x bins in each frame, as in DeepFilterNet."""

    def __init__(self) -> None:
        super().__init__()
        self.erb, self.spec = nn.Conv2d(1, 4, (1, 3), padding=(0, 1)), nn.Conv2d(2, 4, (1, 3), (1, 2), (0, 1))
        self.gru, self.fc = nn.GRU(4 * 8 + 4 * 6, 16, batch_first=True), nn.Linear(16, 8)

    def forward(self, feat_erb: Tensor, feat_spec: Tensor) -> Tensor:
        a, b = torch.relu(self.erb(feat_erb)), torch.relu(self.spec(feat_spec))
        x = torch.cat([a.permute(0, 2, 1, 3).flatten(2), b.permute(0, 2, 1, 3).flatten(2)], 2)
        return torch.sigmoid(self.fc(self.gru(x)[0]))


@pytest.mark.parametrize("lifted", [True, False])
def test_signals_whose_frames_have_two_axes(tmp_path: Path, *, lifted: bool) -> None:
    torch.manual_seed(3)
    module, example = Encoder(), (torch.randn(1, 1, 9, 8), torch.randn(1, 2, 9, 12))
    if lifted:
        names = ["feat_erb", "feat_spec"]
        written(module, example, tmp_path / "foreign.onnx", {name: {2: "S"} for name in names})
        report: ExportReport = lift(tmp_path / "foreign.onnx", tmp_path / "m.onnx")
    else:
        report = export_model(module, example, tmp_path / "m.onnx")
    assert [piece.shape for piece in report.contract.pieces] == [(1, 8), (2, 12)]
    assert not report.refused
    frames = {"feat_erb": example[0][0].transpose(0, 1).numpy(), "feat_spec": example[1][0].transpose(0, 1).numpy()}
    with torch.no_grad():
        wanted = module(*example)[0].numpy()
    for backend in BACKENDS:
        np.testing.assert_allclose(load(report.path, backend).stream().push(frames), wanted, rtol=0, atol=3e-6)


class OneFrame(nn.Module):
    """Microphone and loudspeaker, one frame per call, with its states."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(12, 16, 2, batch_first=True), nn.Linear(16, 6)

    def forward(self, i1: Tensor, i2: Tensor, i3: Tensor, i4: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, (h, c) = self.lstm(torch.cat([i1, i2], -1), (i3, i4))
        return torch.sigmoid(self.fc(y)), h, c


def test_a_third_party_file_of_one_frame_with_two_signals(tmp_path: Path) -> None:
    """The mask has the shape of a signal; the names say nothing."""
    module, state = OneFrame(), torch.zeros(2, 1, 16)
    example = torch.randn(1, 1, 6), torch.randn(1, 1, 6), state, state
    written(module, example, tmp_path / "foreign.onnx", {}, ["i1", "i2", "i3", "i4"])
    report = lift(tmp_path / "foreign.onnx", tmp_path / "m.onnx")
    assert report.contract.signals == ("i1", "i2")
    assert [one.input for one in report.contract.states] == ["i3", "i4"]
    assert not report.refused
