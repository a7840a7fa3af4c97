"""Front ends in quantization: float32 unless asked by name, and their share of the error apart."""

from pathlib import Path

import numpy as np
import pytest
import tidegate
import torch
from tidegate.frontend import Log, MelSpectrogram
from tools.front_ends import Heard, sound
from torch import nn


@pytest.fixture(name="source")
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    front = nn.Sequential(MelSpectrogram(n_fft=64, hop_length=32, n_mels=8), Log())
    path = tmp_path / "m.onnx"
    tidegate.export_model(Heard(front, 8), torch.from_numpy(sound(0.2))[None], path)
    return path


def precisions(report: tidegate.QuantizationReport) -> dict[str, str]:
    return {weight.name: weight.precision for weight in report.weights}


@pytest.mark.parametrize("calibrated", [False, True])
def test_row_179_a_front_end_stays_float_unless_asked(source: Path, tmp_path: Path, calibrated: bool) -> None:
    streams = [sound(0.5, seed).reshape(-1, 32) for seed in range(3)] if calibrated else None
    target = tmp_path / "m.int8.onnx"
    report = tidegate.quantize(source, target, calibration=streams)
    fixed = tidegate.load(source).contract.fixed
    assert len(fixed) == 2
    assert {name for name, precision in precisions(report).items() if precision == "float32"} == set(fixed)
    assert report.front_error == 0
    assert np.isfinite(tidegate.load(target).stream().push(sound(0.2)[:320])["output_0"]).all()


@pytest.mark.parametrize("precision", ["W16A16", "W8A16"])
@pytest.mark.parametrize("calibrated", [False, True])
def test_row_221_a_front_end_that_is_asked_for_has_its_error_apart(
    source: Path, tmp_path: Path, calibrated: bool, precision: str
) -> None:
    """With calibration too: its weights are rounded to nearest, so that no power of a mel band is negative."""
    streams = [sound(0.5, seed).reshape(-1, 32) for seed in range(3)] if calibrated else None
    target = tmp_path / "m.int8.onnx"
    asked = tidegate.quantize(source, target, precision={"*": "W8A16", "front.*": precision}, calibration=streams)
    seen = precisions(asked)
    assert {seen[name] for name in tidegate.load(source).contract.fixed} == {precision}
    assert asked.front_error is not None
    assert 0 < asked.front_error < {"W16A16": 0.02, "W8A16": 0.1}[precision]
    assert np.isfinite(tidegate.load(target).stream().push(sound(0.2)[:3200])["output_0"]).all()


def test_a_model_without_front_end_has_no_such_error(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "m.onnx"
    tidegate.export_model(nn.GRU(4, 3, batch_first=True), torch.randn(1, 9, 4), path)
    assert tidegate.quantize(path, tmp_path / "m.int8.onnx").front_error is None
