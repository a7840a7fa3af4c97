"""Convolutions along time as users write them: most stream, with a tail or lookahead; others are refused by name."""

import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.export import ExportReport, export_model, lift
from tidegate.quant import quantize
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import Backend, load
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.reference import ReferenceStream
from torch import Tensor, nn
from torch.nn import functional

FEATURES, CHANNELS = 6, 5


class Convolved(nn.Module):
    """A layer over `[batch, channels, time]` before an LSTM."""

    def __init__(self, front: nn.Module) -> None:
        super().__init__()
        self.front = front
        self.lstm = nn.LSTM(CHANNELS, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.lstm(self.front(x.transpose(1, 2)).transpose(1, 2))[0]
        return answer


class Cut(nn.Module):
    """Padding on both sides; the last answers are cut off."""

    def __init__(self, kernel: int = 3, dilation: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.reach = (kernel - 1) * dilation
        self.conv = nn.Conv1d(FEATURES, CHANNELS * groups, kernel, padding=self.reach, dilation=dilation, groups=groups)
        self.mix = nn.Conv1d(CHANNELS * groups, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.mix(self.conv(x)[..., : -self.reach])
        return answer


class CutToLength(Cut):
    """Cut to one answer per frame."""

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.mix(self.conv(x)[:, :, : x.size(-1)].contiguous())
        return answer


class PaddedInForward(nn.Conv1d):
    """A subclass that pads in its forward, as in TTS models."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, ((self.kernel_size[0] - 1) * self.dilation[0], 0)))


class Residual(nn.Module):
    """A block of a temporal convolution network: normalized weights, dropout, a skip connection."""

    def __init__(self, inputs: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(
            nn.Conv1d(inputs, CHANNELS, 2, padding=dilation, dilation=dilation)
        )
        self.norm = nn.BatchNorm1d(CHANNELS)
        self.drop = nn.Dropout(0.2)
        self.skip = nn.Conv1d(inputs, CHANNELS, 1)
        self.dilation = dilation

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(torch.relu(self.norm(self.conv(x)[:, :, : -self.dilation].contiguous())))
        return torch.relu(y + self.skip(x))


class Gated(nn.Module):
    """Two convolutions of one padded signal, as in WaveNet."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ConstantPad1d((4, 0), 0.0)
        self.filter, self.gate = (nn.Conv1d(FEATURES, CHANNELS, 3, dilation=2) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pad(x)
        return torch.tanh(self.filter(x)) * torch.sigmoid(self.gate(x))


CAUSAL: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "cut": (Cut, ["front.conv"]),
    "cut_to_length": (partial(CutToLength, 5, 3), ["front.conv"]),
    "grouped": (partial(Cut, 4, 2, groups=2), ["front.conv"]),
    "padded_module": (
        lambda: nn.Sequential(nn.ConstantPad1d((2, 0), 0.0), nn.Conv1d(FEATURES, CHANNELS, 3), nn.ReLU()),
        ["front.1"],
    ),
    "padded_in_forward": (partial(PaddedInForward, FEATURES, CHANNELS, 3, dilation=4), ["front"]),
    "network": (
        lambda: nn.Sequential(*(Residual(FEATURES if i == 0 else CHANNELS, 2**i) for i in range(3))),
        [f"front.{i}.conv" for i in range(3)],
    ),
    "gated": (Gated, ["front.filter", "front.gate"]),
}


def export(front: nn.Module, path: Path, *shape: int) -> ExportReport:
    example = torch.randn(shape or (2, 20, FEATURES), generator=torch.Generator().manual_seed(3))
    return export_model(Convolved(front), example, path)


@pytest.mark.parametrize("name", CAUSAL)
def test_causal_convolution_carries_its_tail(name: str, tmp_path: Path) -> None:
    """The proof compares chunks with the whole signal; then this test compares the engine with onnxruntime."""
    factory, paths = CAUSAL[name]
    torch.manual_seed(1)
    report = export(factory(), tmp_path / "m.onnx")
    tails = [state for state in report.contract.states if state.kind == "tail"]
    assert [state.input for state in tails] == [f"{path}.tail_in" for path in paths]
    assert not {"Pad", "Shape"} & {node.op_type for node in Graph.load(tmp_path / "m.onnx").nodes}
    made = quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    assert made.backend.startswith("native")
    assert {row.bits for row in made.weights} == {8}
    frames = np.random.default_rng(1).normal(0, 1, (60, FEATURES)).astype(np.float32)
    seen, wanted = (
        np.asarray(load(tmp_path / "m.int8.onnx", backend).stream().push(frames))
        for backend in ("native", "onnxruntime")
    )
    error = float(np.abs(seen - wanted).max() / np.abs(wanted).max())
    print(f"{name}: {report.error:.1e}, engine against onnxruntime {error:.1e}")
    assert error <= 3e-4


@pytest.mark.slow
@settings(max_examples=8)
@given(st.integers(1, 5), st.integers(1, 6), st.booleans())
def test_any_kernel_and_dilation(kernel: int, dilation: int, cut: bool) -> None:
    front = (
        (CutToLength if kernel == 1 else Cut)(kernel, dilation)
        if cut
        else PaddedInForward(FEATURES, CHANNELS, kernel, dilation=dilation)
    )
    with tempfile.TemporaryDirectory() as folder:
        report = export(front, Path(folder) / "m.onnx")
    shapes = [state.shape for state in report.contract.states if state.kind == "tail"]
    assert shapes == [("batch", FEATURES, (kernel - 1) * dilation)] * (kernel > 1)


def test_features_before_time_and_no_batch(tmp_path: Path) -> None:
    """An input [channels, time] of one stream: the tail has batch 1."""

    class OneStream(Convolved):
        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.lstm(self.front(x.unsqueeze(0)).squeeze(0).transpose(0, 1))[0]
            return answer

    torch.manual_seed(1)
    model = OneStream(Cut())
    report = export_model(model, torch.randn(FEATURES, 20), tmp_path / "m.onnx")
    assert report.contract.inputs[0].batch_axis is None
    assert report.contract.states[0].shape == (1, FEATURES, 2)


class Looking(nn.Module):
    """A convolution over time and features together."""

    def __init__(self, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, kernel, padding=(kernel[0] // 2, kernel[1] // 2))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.conv(x.unsqueeze(1)).squeeze(1)[:, :CHANNELS]
        return answer


def conv(**options: object) -> Callable[[], nn.Module]:
    return lambda: nn.Conv1d(FEATURES, CHANNELS, 3, **options)  # type: ignore[arg-type] # any of them


def padded(pad: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(pad, nn.Conv1d(FEATURES, CHANNELS, 3))


@pytest.mark.parametrize(
    ("front", "message"),
    [
        (conv(), "Conv '/front/Conv': .* 0 frames of zeros before the signal, and more or fewer answers"),
        (
            conv(stride=2, padding=2),
            "one frame of 2 rows, and 1 frames more than the signal has; wanted one for each: pad only on the left",
        ),
        (conv(padding=2), "Conv '/front/Conv': .*more or fewer answers than frames; .* cut the last 2 answers"),
        (padded(nn.ReflectionPad1d((2, 0))), "Conv '/front/front.1/Conv': .* no known frames of zeros"),
        (padded(nn.ConstantPad1d((2, 0), 0.5)), "Conv '/front/front.1/Conv': .* no known frames of zeros"),
    ],
)
def test_other_convolutions_are_refused_by_name(front: Callable[[], nn.Module], message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=message):
        export(front(), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_convolution_over_features_only_needs_no_tail(tmp_path: Path) -> None:
    torch.manual_seed(1)
    report = export(Looking((3, 1)), tmp_path / "m.onnx")
    assert [state.kind for state in report.contract.states] == ["h", "c"]


def test_a_convolution_over_time_and_features_keeps_its_frames(tmp_path: Path) -> None:
    """The features are the first axis of the kernel here, time is the second; see tests/export/test_frame_nets.py."""
    report = export(Looking((3, 3)), tmp_path / "m.onnx")
    assert [state.kind for state in report.contract.states] == ["h", "c"]
    assert report.contract.lookahead == 1


class Skipping(nn.Module):
    """Two convolutions that look ahead, each added to its signal."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv1d(FEATURES, FEATURES, 5, padding="same", dilation=2)
        self.two = nn.Conv1d(FEATURES, CHANNELS, 3, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = torch.relu(self.two(x + torch.relu(self.one(x))))
        return answer


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
@pytest.mark.parametrize(
    ("front", "lookahead"),
    [
        (conv(padding=1), 1),
        (conv(padding="same", dilation=3), 3),
        (padded(nn.ConstantPad1d((0, 2), 0.0)), 2),
        (Skipping, 4 + 1),
    ],
)
def test_convolution_that_looks_ahead_answers_late(
    front: Callable[[], nn.Module], lookahead: int, backend: Backend, tmp_path: Path
) -> None:
    """The first answers come after the lookahead, the last ones at finish(), with zeros after the stream."""
    torch.manual_seed(1)
    model = Convolved(front()).eval()
    report = export_model(model, torch.randn(2, 20, FEATURES), tmp_path / "m.onnx")
    assert report.contract.lookahead == lookahead
    assert not [state for state in report.contract.states if state.kind == "tail"]
    frames = np.random.default_rng(0).normal(0, 1, (30, FEATURES)).astype(np.float32)
    with torch.no_grad():
        wanted = np.asarray(model(torch.from_numpy(frames[None]))[0])
    stream = load(tmp_path / "m.onnx", backend).stream()
    first = [np.asarray(stream.push(frame[None])) for frame in frames[:8]]
    assert [len(answer) for answer in first] == [0] * lookahead + [1] * (8 - lookahead)
    saved = stream.snapshot()
    rest = [np.asarray(stream.push(frames[8:])), np.asarray(stream.finish())]
    assert len(rest[1]) == lookahead
    np.testing.assert_allclose(np.concatenate([*first, *rest]), wanted, atol=1e-5 * np.abs(wanted).max())
    stream.reset()
    stream.restore(saved)
    np.testing.assert_array_equal(stream.push(frames[8:]), rest[0])
    np.testing.assert_array_equal(stream.finish(), rest[1])


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_stream_shorter_than_the_lookahead_is_answered_at_its_end(tmp_path: Path, backend: Backend, count: int) -> None:
    torch.manual_seed(1)
    model = Convolved(Skipping()).eval()
    export_model(model, torch.randn(2, 20, FEATURES), tmp_path / "m.onnx")
    frames = np.random.default_rng(0).normal(0, 1, (count, FEATURES)).astype(np.float32)
    with torch.no_grad():
        wanted = np.asarray(model(torch.from_numpy(frames[None]))[0])
    stream = load(tmp_path / "m.onnx", backend).stream()
    assert np.asarray(stream.push(frames)).shape == (0, wanted.shape[1])
    np.testing.assert_allclose(np.asarray(stream.finish()), wanted, atol=1e-5 * np.abs(wanted).max())


def test_convolution_that_looks_ahead_has_the_bits_of_the_specification(tmp_path: Path) -> None:
    torch.manual_seed(1)
    export_model(Convolved(Skipping()), torch.randn(2, 20, FEATURES), tmp_path / "m.onnx")
    quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    frames = np.random.default_rng(0).normal(0, 1, (30, FEATURES)).astype(np.float32)
    for name in ("m.onnx", "m.int8.onnx"):
        reference = ReferenceStream(lower(Graph.load(tmp_path / name)))
        wanted = [np.asarray(part["output"]) for part in (reference.push(frames), reference.finish())]
        stream = load(tmp_path / name).stream()
        seen = [np.asarray(stream.push(part)) for part in np.split(frames, [1, 2, 17])] + [np.asarray(stream.finish())]
        np.testing.assert_array_equal(np.concatenate(seen), np.concatenate(wanted), strict=True)


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_a_convolution_that_looks_ahead_in_a_foreign_file_is_lifted(tmp_path: Path, backend: Backend) -> None:
    torch.manual_seed(0)
    module, x = Convolved(nn.Conv1d(FEATURES, CHANNELS, 5, padding="same")).eval(), torch.randn(1, 20, FEATURES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns at each use of this exporter
        torch.onnx.export(
            module, (x,), tmp_path / "own.onnx", dynamo=False, dynamic_axes={"x": [0, 1]}, input_names=["x"]
        )
    report = lift(tmp_path / "own.onnx", tmp_path / "m.onnx")
    assert report.contract.lookahead == 2
    stream = load(report.path, backend).stream()
    pushed = [stream.push(chunk) for chunk in np.split(x[0].numpy(), [1, 4, 11])]
    answers = [np.asarray(answer) for answer in [*pushed, stream.finish()]]
    with torch.no_grad():
        wanted = module(x)[0].numpy()
    np.testing.assert_allclose(np.concatenate(answers), wanted, rtol=0, atol=2e-6)
