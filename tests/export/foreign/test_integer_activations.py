"""Figures of a quantized file's own 8-bit activations, on noise and on data, and the warning with its way out."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import tidegate
from tidegate.export import LiftReport, lift
from tidegate.export.foreign.integer_activations import BOUND, IntegerError, warnings
from tools import foreign_files

DATA = np.random.default_rng(0).integers(0, 2, (4, 5)).astype(np.float32)


def _lift(folder: Path, data: np.ndarray | None = None) -> LiftReport:
    onnx.save(foreign_files.quantized(folder, foreign_files.loud()), folder / "foreign.onnx")
    return lift(folder / "foreign.onnx", folder / "out.onnx", data=data)


def test_row_67_a_quantized_file_far_from_its_weights_on_noise_is_a_report_with_the_way_out(tmp_path: Path) -> None:
    report = _lift(tmp_path)
    (on_noise,) = report.integers
    assert on_noise.activation_error > BOUND  # seen: 0.35
    (warning,) = report.warnings
    assert f"change its answers to noise by {on_noise.activation_error:.0%} of the largest value, above 10%" in warning
    assert "measure it on a signal of yours (data=, --data), or lift the float file and quantize it with" in warning
    assert tidegate.load(tmp_path / "out.onnx").stream().push(DATA).shape == (4, 3)


def test_the_first_way_out_is_data_on_which_the_file_is_near(tmp_path: Path) -> None:
    report = _lift(tmp_path, DATA)
    assert [error.signal for error in report.integers] == ["noise", "the data"]
    assert report.integers[1].activation_error <= 0.01  # seen: 0.002
    assert report.warnings == ()
    assert "Its own 8-bit activations change the answers to the data by 0.2% of the largest value." in report.done
    names = [check.name for check in report.checks if check.name.endswith("on the data")]
    assert names == ["whole, on the data", *(f"streamed frame by frame on {one}, on the data" for one in BACKENDS)]


BACKENDS = ("native", "onnxruntime")


def test_the_second_way_out_is_the_float_file(tmp_path: Path) -> None:
    onnx.save(foreign_files.loud(), tmp_path / "float.onnx")
    assert lift(tmp_path / "float.onnx", tmp_path / "lifted.onnx").warnings == ()
    assert tidegate.quantize(tmp_path / "lifted.onnx", tmp_path / "int8.onnx").answers is not None


@pytest.mark.parametrize("error", [BOUND, np.nextafter(BOUND, 1)])
def test_the_last_signal_decides(error: float) -> None:
    found = list(warnings([IntegerError("noise", 1.0, 0.0), IntegerError("the data", error, 0.0)]))
    assert len(found) == (error > BOUND)
    assert all("--data" not in text for text in found)


def test_no_error_is_no_warning() -> None:
    assert list(warnings([])) == []
