"""A lift with the caller's data and tolerance: the proof compares on the data too, and the tolerance counts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tidegate.export import LiftReport, lift
from tidegate.quant import quantize
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ChunkError, ExportError
from tidegate.runtime.load import load
from tools import foreign_files

Lift = Callable[..., LiftReport]


@pytest.fixture
def lifted(tmp_path: Path) -> Lift:
    """Lift a model made by hand; write `out.onnx`."""

    def run(model: onnx.ModelProto, **options: object) -> LiftReport:
        onnx.save(model, tmp_path / "foreign.onnx")
        return lift(tmp_path / "foreign.onnx", tmp_path / "out.onnx", **options)  # type: ignore[arg-type]

    return run


# ---- data of the caller ----


@pytest.mark.parametrize("lengths", ["any", "fixed"])
def test_data_is_compared_too(lifted: Lift, lengths: str) -> None:
    """A file of a fixed length takes the data in pieces."""
    model = foreign_files.keras(batch=1)
    if lengths == "fixed":
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7
    data = np.random.default_rng(0).standard_normal((30, 5))
    checks = {check.name: check for check in lifted(model, data=data).checks}
    names = [
        "whole, on the data",
        *(f"streamed frame by frame on {one}, on the data" for one in ("native", "onnxruntime")),
    ]
    assert [name for name in checks if name.endswith("on the data")] == names


def test_data_may_be_read_when_the_form_is_known(lifted: Lift) -> None:
    forms = []

    def read(file: bytes) -> Array:
        forms.append(load(file).contract.inputs[0].name)
        return np.zeros((3, 5), np.float32)

    lifted(foreign_files.keras(), data=read)
    assert forms == ["args_0"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((9, 4), np.float32), r"chunk has shape \(9, 4\), wanted \(frames, 5\)"),
        (np.full((9, 5), np.nan, np.float32), r"nan at frame 0"),
        (np.zeros((9, 5), np.complex64), r"data holds complex64, wanted float32 \[frames, features\]"),
        (np.zeros((0, 5), np.float32), r"data has 0 frames, wanted at least 1"),
    ],
)
def test_data_that_does_not_fit_is_refused(lifted: Lift, tmp_path: Path, data: Array, message: str) -> None:
    with pytest.raises(ChunkError, match=message):
        lifted(foreign_files.keras(), data=data)
    assert not (tmp_path / "out.onnx").exists()


def test_data_shorter_than_a_run_is_refused(lifted: Lift) -> None:
    model = foreign_files.keras(batch=1)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7
    with pytest.raises(ChunkError, match="data has 6 frames, wanted at least 7, which the file takes at once"):
        lifted(model, data=np.zeros((6, 5), np.float32))


def logarithms(least: float = 0.0) -> onnx.ModelProto:
    """Return a file that takes numbers above `least` only."""
    file = foreign_files.ForeignFile(17)
    x = file.add("Log", [file.add("Sub", [file.input("x", ["time", 1, 5]), file.constant(np.float32(least))])])
    y, *_ = file.cell("LSTM", x, 5, 6)
    file.output(file.head(file.squeezed(y, 1), 6, 3, "y"), ["time", 1, 3])
    return file.model()


@pytest.mark.parametrize("frames", [4, 60])
def test_row_113_a_file_that_takes_only_some_values_is_proved_on_signals_like_the_data(
    lifted: Lift, tmp_path: Path, frames: int
) -> None:
    with pytest.raises(ExportError, match=r"on noise: a value inside .*; .* give a signal of yours \(data="):
        lifted(logarithms(9))
    data = np.random.default_rng(0).uniform(9.1, 18, (frames, 5)).astype(np.float32)
    lifted(logarithms(9), data=data)
    assert (tmp_path / "out.onnx").exists()


def test_row_142_a_file_of_logarithms_is_proved_and_quantized_on_magnitudes(lifted: Lift, tmp_path: Path) -> None:
    assert lifted(logarithms()).checks
    report = quantize(tmp_path / "out.onnx", tmp_path / "int8.onnx")
    assert report.answers is not None
    assert report.answers.error < 0.05
    assert set(report.answers.levels) == {"noise of 1", "noise of 0.1", "noise of 0.01", "noise of 0.001"}


def test_a_weight_that_is_no_number_is_named_as_the_cause(lifted: Lift) -> None:
    model = foreign_files.keras()
    head = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [8, 3])
    head.CopyFrom(numpy_helper.from_array(np.full((8, 3), np.nan, np.float32), head.name))
    with pytest.raises(ExportError, match="on noise: output 'dense' is not finite; check its weights, or if the file"):
        lifted(model)
    with pytest.raises(
        ExportError, match=r"on signals like the data: output 'dense' is not finite; check its weights$"
    ):
        lifted(model, data=np.ones((5, 5), np.float32))


# ---- the tolerance of quantized files ----


@pytest.mark.parametrize(("given", "limit"), [(None, 1e-3), (1e-2, 1e-2), (2e-4, 2e-4)])
def test_a_tolerance_counts_on_the_engine_too(lifted: Lift, tmp_path: Path, given: float | None, limit: float) -> None:
    model = foreign_files.quantized(tmp_path, foreign_files.torch_zeros())
    checks = {check.name: check for check in lifted(model, tolerance=given).checks}
    assert checks["streamed frame by frame on native"].tolerance == limit
    assert checks["streamed frame by frame on onnxruntime"].tolerance == (given or 1e-5)


def test_a_tolerance_below_the_engines_integers_is_refused_with_the_way_out(lifted: Lift, tmp_path: Path) -> None:
    model = foreign_files.quantized(tmp_path, foreign_files.torch_zeros())
    message = r"on native: .* 1e-06 allowed; the rounding of the engine's activations .* set a larger tolerance= .*out$"
    with pytest.raises(ExportError, match=message):
        lifted(model, tolerance=1e-6)
    lifted(model, tolerance=1e-3)
