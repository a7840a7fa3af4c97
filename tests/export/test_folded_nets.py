"""Nets with layers over the bands of a frame: exported, lifted, quantized, and streamed as their module."""

from pathlib import Path

import numpy as np
import pytest
import tidegate
import torch
from tidegate.runtime.arrays import Floats
from tools.speech_nets import BANDS, CHANNELS, AlongBands, Bands, BandsFirst, DualPath, GroupedDualPath
from torch import Tensor, nn

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter
FRAMES = 23
FLOAT, INT8 = 2e-6, 0.05  # bounds of the error of answers, relative to the largest; seen: 4e-7, 0.009


class AlongBandsThenTime(nn.Module):
    """A layer along the bands, of which only the last step counts, then one along time."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.gru = nn.GRU(CHANNELS, 8, batch_first=True), nn.GRU(8, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, frames, bands = x.shape
        _, last = self.rnn(x.permute(0, 2, 3, 1).reshape(batch * frames, bands, channels))
        answer: Tensor = self.gru(last[0].reshape(batch, frames, -1))[0]
        return answer


NETS: dict[str, nn.Module] = {
    "gru": Bands(),
    "lstm of two layers": Bands("LSTM", layers=2),
    "rnn": Bands("RNN"),
    "bands before the batch": BandsFirst("LSTM"),
    "both paths": DualPath(),
    "both paths, gru": DualPath("GRU"),
    "both paths in groups": nn.Sequential(nn.Conv2d(CHANNELS, 4, 1), GroupedDualPath(4, BANDS)),
    "forward along the bands": nn.Sequential(AlongBands("RNN", both=False), Bands()),
    "final h along the bands": AlongBandsThenTime(),
}


def of_module(module: nn.Module, x: Floats) -> Floats:
    """Return a module's answers to frames `[frames, channels, bands]`, the frames first."""
    with torch.no_grad():
        made = module(torch.tensor(x).transpose(0, 1)[None])[0]
    frames: Floats = (made.transpose(0, 1) if made.ndim == 3 else made).numpy()
    return frames


def check_streams(path: Path, x: Floats, wanted: Floats, bound: float) -> None:
    """Check the engine's answers, and that they do not depend on how the stream is cut."""
    stream = tidegate.load(path, "native").stream()
    whole = stream.push(x)
    np.testing.assert_allclose(whole, wanted, atol=bound * np.abs(wanted).max())
    for chunk in (1, 7):
        stream.reset()
        parts = [stream.push(x[at : at + chunk]) for at in range(0, len(x), chunk)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("name", NETS)
def test_row_130_each_band_is_a_stream_of_its_own(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = NETS[name].eval()
    x = np.random.default_rng(0).standard_normal((FRAMES, CHANNELS, BANDS)).astype(np.float32)
    report = tidegate.export_model(module, torch.randn(2, CHANNELS, 12, BANDS), tmp_path / "m.onnx")
    assert not report.refused
    wanted = of_module(module, x)
    check_streams(tmp_path / "m.onnx", x, wanted, FLOAT)
    quantized = tidegate.quantize(tmp_path / "m.onnx", tmp_path / "int8.onnx")
    assert quantized.backend.startswith("native")
    check_streams(tmp_path / "int8.onnx", x, wanted, INT8)


@pytest.mark.parametrize("name", ["lstm of two layers", "both paths, gru", "final h along the bands"])
@pytest.mark.parametrize("batch", ["free", "fixed"])
def test_row_130_a_third_party_file_is_lifted(name: str, batch: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, axes = NETS[name].eval(), {2: "time"} | ({0: "batch"} if batch == "free" else {})
    example = torch.randn(1, CHANNELS, 12, BANDS)
    options = {"dynamo": False, "input_names": ["x"], "dynamic_axes": {"x": axes}}
    torch.onnx.export(module, (example,), str(tmp_path / "vendor.onnx"), **options)  # type: ignore[arg-type]
    report = tidegate.lift(tmp_path / "vendor.onnx", tmp_path / "m.onnx")
    assert not report.refused
    x = np.random.default_rng(0).standard_normal((FRAMES, CHANNELS, BANDS)).astype(np.float32)
    check_streams(tmp_path / "m.onnx", x, of_module(module, x), FLOAT)


def test_the_state_has_the_rows_of_each_band_and_starts_a_stream(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Bands().eval()
    report = tidegate.export_model(module, torch.randn(2, CHANNELS, 12, BANDS), tmp_path / "m.onnx")
    (state,) = report.contract.states
    assert state.shape == (1, "batch", BANDS, 8)
    x = np.random.default_rng(0).standard_normal((FRAMES, CHANNELS, BANDS)).astype(np.float32)
    for backend in ("native", "onnxruntime"):
        model = tidegate.load(tmp_path / "m.onnx", backend)
        stream = model.stream()
        stream.push(x[:10])
        other = model.stream(stream.state())
        np.testing.assert_array_equal(other.push(x[10:]), stream.push(x[10:]))
        if backend == "native":
            group = model.streams(2)
            both = group.push(np.stack([x[:9], -x[:9]]))
            np.testing.assert_array_equal(both[0], model.stream().push(x[:9]))


def test_row_131_calibration_takes_frames_of_several_axes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tidegate.export_model(DualPath().eval(), torch.randn(2, CHANNELS, 12, BANDS), tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    streams = [rng.standard_normal((60, CHANNELS, BANDS)).astype(np.float32) for _ in range(4)]
    x = rng.standard_normal((60, CHANNELS, BANDS)).astype(np.float32)
    plain = tidegate.quantize(tmp_path / "m.onnx", tmp_path / "plain.onnx")
    tidegate.quantize(tmp_path / "m.onnx", tmp_path / "calibrated.onnx", calibration=streams)
    exact = tidegate.load(tmp_path / "m.onnx").stream().push(x)
    errors = [
        np.sqrt(np.mean((tidegate.load(tmp_path / f"{name}.onnx").stream().push(x) - exact) ** 2))
        for name in ("plain", "calibrated")
    ]
    assert errors[1] < 0.8 * errors[0], plain
