"""Inputs that stay the same for a stream: a speaker's vector, knobs; folded into the file, or set for each stream."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from tidegate.export import export_model, lift
from tidegate.quant import quantize
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ExportError, StateError
from tidegate.runtime.load import load
from tidegate.runtime.streams import Model
from torch import Tensor, nn

BACKENDS: tuple[Literal["native", "onnxruntime"], ...] = ("native", "onnxruntime")
SPEAKER = np.linspace(-1, 1, 4, dtype=np.float32)[None]


class Filter(nn.Module):
    """A mask of one speaker: the vector is joined with each frame, as in VoiceFilter."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(9, 8, batch_first=True), nn.Linear(8, 5)

    def forward(self, x: Tensor, speaker: Tensor) -> Tensor:
        wide = speaker.unsqueeze(1).expand(-1, x.size(1), -1)
        return torch.sigmoid(self.fc(self.lstm(torch.cat([x, wide], 2))[0]))


class Repeated(Filter):
    """The same with `repeat`."""

    def forward(self, x: Tensor, speaker: Tensor) -> Tensor:
        wide = speaker[:, None].repeat(1, x.shape[1], 1)
        return torch.sigmoid(self.fc(self.lstm(torch.cat([x, wide], 2))[0]))


class Modulated(nn.Module):
    """The vector scales and moves the features of each frame (FiLM), and the last answer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Linear(4, 5), nn.Linear(4, 5)
        self.gru, self.fc = nn.GRU(5, 8, batch_first=True), nn.Linear(8, 5)

    def forward(self, x: Tensor, speaker: Tensor) -> tuple[Tensor, Tensor]:
        y = self.gru(x * self.scale(speaker).unsqueeze(1) + self.shift(speaker)[:, None])[0]
        answer = self.fc(y)
        return answer, answer[:, -1] * self.scale(speaker)


def written(module: nn.Module, folder: Path, *, batch: bool = True) -> Path:
    """Write a module as torch's exporter does."""
    example = torch.randn(2 if batch else 1, 6, 5), torch.randn(2 if batch else 1, 4)
    axes = {"x": {0: "batch", 1: "time"}, "speaker": {0: "batch"}} if batch else {"x": {1: "time"}}
    path = folder / "foreign.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one
        torch.onnx.export(
            module.eval(), example, str(path), input_names=["x", "speaker"], dynamic_axes=axes, dynamo=False
        )
    return path


def pushed(model: Model, x: Array, chunk: int, state: dict[str, Array] | None = None) -> dict[str, Array]:
    """Return the answers to a stream by output; of one without a time axis the last."""
    stream, found = model.stream(state), dict[str, list[Array]]()
    for at in range(0, len(x), chunk):
        answer = stream.push(x[at : at + chunk])
        for name, values in (answer if isinstance(answer, dict) else {"": answer}).items():
            found.setdefault(name, []).append(values)
    return {name: values[-1] if values[0].ndim < x.ndim else np.concatenate(values) for name, values in found.items()}


@pytest.fixture
def frames() -> Array:
    return np.random.default_rng(1).standard_normal((23, 5)).astype(np.float32)


def answers(module: nn.Module, x: Array, speaker: Array = SPEAKER) -> list[Array]:
    """Return the module's answers to one stream."""
    with torch.no_grad():
        made = module(torch.from_numpy(x)[None], torch.from_numpy(speaker))
    return [value[0].numpy() for value in (made if isinstance(made, tuple) else (made,))]


def assert_same(model: Model, wanted: list[Array], x: Array, state: dict[str, Array] | None = None) -> None:
    """Compare in chunks of 1, of 7 and in one: with the module, and bit by bit with each other."""
    found = [list(pushed(model, x, chunk, state).values()) for chunk in (1, 7, len(x))]
    for seen, value in zip(found[0], wanted, strict=True):
        np.testing.assert_allclose(seen, value, rtol=0, atol=3e-6)
    for other in found[1:] if model.backend.startswith("native") else ():
        for one, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


# ---- folded into the file ----


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("factory", [Filter, Repeated, Modulated])
def test_row_91_a_vector_is_folded_into_a_third_party_file(
    factory: Callable[[], nn.Module], frames: Array, tmp_path: Path, *, batch: bool
) -> None:
    torch.manual_seed(2)
    module = factory()
    report = lift(written(module, tmp_path, batch=batch), tmp_path / "m.onnx", values={"speaker": SPEAKER})
    assert report.done[0] == "Input speaker is constant: 4 values."
    assert not report.refused
    for backend in BACKENDS:
        assert_same(load(report.path, backend), answers(module, frames), frames)
    quantize(report.path, tmp_path / "q.onnx")
    seen = pushed(load(tmp_path / "q.onnx"), frames, 7)
    for value, wanted in zip(seen.values(), answers(module, frames), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=0.05)


def test_a_speakers_filter_of_a_public_package(tmp_path: Path) -> None:
    """Three LSTMs of 512 as DynamicQuantizeLSTM, and the speaker's vector as an input."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "models" / "voicefilter_lite"
    if not folder.is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"there is no {folder}; it holds third-party models")
    report = lift(folder / "model.onnx", tmp_path / "m.onnx", values={"dvec": np.load(folder / "dvec.npy")})
    assert not report.refused
    reference = np.load(folder / "reference.npz")
    made, wanted = load(report.path).stream().push(reference["x"]), reference["y.mask"]
    assert isinstance(made, dict)
    assert np.abs(made["mask"] - wanted).max() <= 0.1 * np.abs(wanted).max()  # the original's activations have 8 bits


# ---- set for each stream ----


class Knob(nn.Module):
    """An amplifier with knobs: one vector without a batch, one number."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(5, 8, batch_first=True), nn.Linear(8, 5)

    def forward(self, x: Tensor, speaker: Tensor, gain: Tensor) -> Tensor:
        y: Tensor = gain * self.fc(self.lstm(x + torch.cat([speaker, gain[None]]))[0])
        return y


class Looked(nn.Module):
    """Ids, and a vector of a speaker."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.gru = nn.Embedding(9, 6), nn.GRU(10, 5, batch_first=True)

    def forward(self, x: Tensor, speaker: Tensor) -> Tensor:
        y: Tensor = self.gru(torch.cat([self.table(x), speaker[:, None].expand(-1, x.shape[1], -1)], -1))[0]
        return y


OTHER = np.array([[0.5, -2, 1, 0]], np.float32)


@pytest.mark.parametrize("factory", [Filter, Repeated, Modulated])
def test_row_93_a_static_input_is_set_for_a_stream(
    factory: Callable[[], nn.Module], frames: Array, tmp_path: Path
) -> None:
    torch.manual_seed(2)
    module = factory()
    report = export_model(module, (torch.randn(2, 6, 5), torch.randn(2, 4)), tmp_path / "m.onnx")
    (speaker,) = [state for state in report.contract.states if state.kind == "static"]
    assert (speaker.input, speaker.output, speaker.shape) == ("speaker", "speaker_out", ("batch", 4))
    assert report.contract.signals == ("x",)
    assert not report.refused
    for backend in BACKENDS:
        model = load(report.path, backend)
        for vector in (SPEAKER, OTHER, np.zeros_like(OTHER)):
            assert_same(model, answers(module, frames, vector), frames, {"speaker": vector})
        assert_same(model, answers(module, frames, np.zeros_like(OTHER)), frames)  # never set: zeros


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_static_input_is_changed_between_pushes(
    backend: Literal["native", "onnxruntime"], frames: Array, tmp_path: Path
) -> None:
    """Snapshots, forks and groups carry it; reset goes back to the model's own."""
    torch.manual_seed(2)
    path = export_model(Filter(), (torch.randn(2, 6, 5), torch.randn(2, 4)), tmp_path / "m.onnx").path
    model = load(path, backend)
    stream, group = model.stream({"speaker": SPEAKER}), model.streams(2)
    for row in (0, 1):
        group.set_state(row, {"speaker": SPEAKER})
    np.testing.assert_array_equal(group.push(np.stack([frames, frames]))[1], stream.push(frames))
    stream.set_state({"speaker": OTHER})
    group.set_state(1, {"speaker": OTHER})
    other = model.stream()
    other.restore(stream.snapshot())
    np.testing.assert_array_equal(other.state()["speaker"], OTHER)
    forked = stream.fork()
    seen = stream.push(frames)
    for same in (other, forked):
        np.testing.assert_array_equal(same.push(frames), seen)
    np.testing.assert_array_equal(group.push(np.stack([frames, frames]))[1], seen)
    stream.reset()
    assert not stream.state()["speaker"].any()
    with pytest.raises(StateError, match=r"state 'speaker' is float32 \(4,\), wanted float32 \(1, 4\)"):
        stream.set_state({"speaker": OTHER[0]})


def test_knobs_without_a_batch(frames: Array, tmp_path: Path) -> None:
    torch.manual_seed(2)
    module = Knob()
    example = torch.randn(1, 6, 5), torch.randn(4), torch.tensor(0.5)
    report = export_model(module, example, tmp_path / "m.onnx")
    states = {state.input: state.shape for state in report.contract.states if state.kind == "static"}
    assert states == {"speaker": (1, 4), "gain": (1, 1)}
    given = {"speaker": OTHER, "gain": np.full((1, 1), 2, np.float32)}
    with torch.no_grad():
        wanted = module(torch.from_numpy(frames)[None], torch.from_numpy(OTHER[0]), torch.tensor(2.0))[0].numpy()
    for backend in BACKENDS:
        assert_same(load(report.path, backend), [wanted], frames, given)


def test_ids_with_a_static_input(tmp_path: Path) -> None:
    torch.manual_seed(2)
    module, ids = Looked(), np.random.default_rng(1).integers(0, 9, 23)
    report = export_model(module, (torch.randint(0, 9, (2, 6)), torch.randn(2, 4)), tmp_path / "m.onnx")
    with torch.no_grad():
        wanted = module(torch.from_numpy(ids)[None], torch.from_numpy(OTHER))[0].numpy()
    for backend in BACKENDS:
        assert_same(load(report.path, backend), [wanted], ids, {"speaker": OTHER})


def test_a_static_input_of_an_example_of_one_frame_is_named(tmp_path: Path) -> None:
    example = torch.randn(1, 1, 5), torch.randn(1, 1, 5)

    class Shifted(Modulated):
        def forward(self, x: Tensor, speaker: Tensor) -> Tensor:  # type: ignore[override]
            y: Tensor = self.fc(self.gru(x + speaker)[0])
            return y

    with_signal = export_model(Shifted(), example, tmp_path / "two.onnx")
    assert with_signal.contract.signals == ("x", "speaker")
    static = export_model(Shifted(), example, tmp_path / "one.onnx", static=["speaker"])
    assert [state.input for state in static.contract.states if state.kind == "static"] == ["speaker"]
    with pytest.raises(ExportError, match="static input 'knob' is none of the floats after the signal in the example"):
        export_model(Shifted(), example, tmp_path / "none.onnx", static=["knob"])


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("factory", [Filter, Modulated])
def test_a_static_input_of_a_third_party_file(
    factory: Callable[[], nn.Module], frames: Array, tmp_path: Path, *, batch: bool
) -> None:
    torch.manual_seed(2)
    module = factory()
    report = lift(written(module, tmp_path, batch=batch), tmp_path / "m.onnx")
    assert "Input speaker is static: a caller sets it as a state, zeros at first." in report.done
    assert not report.refused
    for backend in BACKENDS:
        assert_same(load(report.path, backend), answers(module, frames, OTHER), frames, {"speaker": OTHER})
