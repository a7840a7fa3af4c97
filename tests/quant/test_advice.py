"""Advice of quantization that was followed: the way out that a message names leads to a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tidegate.quant import quantize
from tidegate.runtime.errors import ModelError, QuantizationError, TidegateError
from tidegate.runtime.load import load
from tidegate.runtime.lowering.lower import QUANTIZATION_KEY
from tools.nets import Net
from tools.onnx_files import write_lstm

STREAM = np.random.default_rng(0).standard_normal((120, 6)).astype(np.float32)
Change = Callable[[onnx.ModelProto], None]


def _scaled(factor: float) -> Change:
    """Return a change of the recurrent weights."""

    def change(model: onnx.ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [1, 32, 8])
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), tensor.name))

    return change


OPTIONS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "an array": ({"calibration": STREAM}, r"wanted streams: put it into a list, \[array\]", {"calibration": [STREAM]}),
    "few frames": ({"calibration": [STREAM[:9]]}, "has 9 frames, wanted at least 50", {"calibration": [STREAM]}),
    "integers": (
        {"arithmetic": "integer", "precision": "W8A16"},
        "integer arithmetic needs calibration",
        {"arithmetic": "integer", "precision": "W8A16", "calibration": [STREAM]},
    ),
    "a pattern": (
        {"precision": {"nothing": "W8A8"}},
        "no weight matches 'nothing'; there are",
        {"precision": {"*": "W8A8"}},
    ),
    "a precision": (
        {"precision": "W7"},
        "wanted W4, W8 or W16, then A8 or A16, .*: W8A16, W4A8g32",
        {"precision": "W4A8g32"},
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_way_out_of_an_option_leads_to_a_file(name: str, tmp_path: Path) -> None:
    options, message, way_out = OPTIONS[name]
    path = write_lstm(tmp_path / "m.onnx")
    with pytest.raises(QuantizationError, match=message):
        quantize(path, tmp_path / "q.onnx", **options)
    assert not (tmp_path / "q.onnx").exists()
    quantize(path, tmp_path / "q.onnx", **way_out)


def test_a_weight_out_of_range_is_left_float_as_the_message_says(tmp_path: Path) -> None:
    path = write_lstm(tmp_path / "m.onnx")
    model = onnx.load(path)
    _scaled(1e30)(model)
    onnx.save(model, path)
    with pytest.raises(QuantizationError, match=r"leave it float \(precision R=float32\)$"):
        quantize(path, tmp_path / "q.onnx")
    _scaled(1e-30)(model)  # the other way out: export it again
    onnx.save(model, path)
    quantize(path, tmp_path / "q.onnx", precision={"*": "W8A16", "R": "float32"})
    quantize(path, tmp_path / "q.onnx")


def test_a_quantized_file_is_quantized_from_its_float_file(tmp_path: Path) -> None:
    path = write_lstm(tmp_path / "m.onnx")
    quantize(path, tmp_path / "q.onnx")
    with pytest.raises(QuantizationError, match="already quantized; start from the float file"):
        quantize(tmp_path / "q.onnx", tmp_path / "r.onnx")
    quantize(path, tmp_path / "r.onnx", precision="W4A16")


def test_answers_from_a_final_c_are_quantized_without_calibration(tmp_path: Path) -> None:
    path = write_lstm(tmp_path / "m.onnx")
    model = onnx.load(path)
    next(node for node in model.graph.node if node.op_type == "Gather").input[0] = "lstm.c_out"
    onnx.save(model, path)
    with pytest.raises(QuantizationError, match="quantize without calibration, or answer with h"):
        quantize(path, tmp_path / "q.onnx", calibration=[STREAM])
    quantize(path, tmp_path / "q.onnx")
    quantize(write_lstm(path), tmp_path / "q.onnx", calibration=[STREAM])  # answers with h


def _with(values: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Return a change of the recurrent weights to other values."""

    def change(model: onnx.ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [1, 32, 8])
        made = values(numpy_helper.to_array(tensor)).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(made, tensor.name))

    return change


DAMAGED: dict[str, tuple[Change, str]] = {
    "infinite": (_with(lambda r: r / 0), "weight 'R' holds NaN or infinity; train or export it again"),
    "gates that differ": (
        _with(lambda r: r[:, :31]),
        r"has shape \[1, 31, 8\], wanted .*; export the model again",
    ),
    "no value": (_with(lambda r: r[:, :0]), r"R has shape \[1, 0, 8\], wanted \[1, 32, 8\] .*; export the model again"),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_weights_that_are_none_are_quantized_from_a_file_that_is_exported_again(name: str, tmp_path: Path) -> None:
    change, message = DAMAGED[name]
    path = write_lstm(tmp_path / "m.onnx")
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    with pytest.raises(TidegateError, match=message):
        quantize(path, tmp_path / "q.onnx")
    quantize(write_lstm(path), tmp_path / "q.onnx")


def _growing(path: Path, factor: float = 1.0) -> Path:
    """Write a net whose ReLU keeps its values, and grows without end if its weights are a little larger."""
    net = Net(np.random.default_rng(0), 6)
    net.cell("RNN", 5, activations=["Relu"])
    net.tensors["net0.R"] = factor * 0.5 * np.eye(5, dtype=np.float32)[None]
    net.save(path, 18, last=False)
    return path


def test_answers_that_leave_the_range_of_numbers_are_measured_on_calibration_streams(tmp_path: Path) -> None:
    report = quantize(_growing(tmp_path / "m.onnx", 4.0), tmp_path / "q.onnx")
    assert "whose answers to noise leave the range of numbers; give calibration streams" in " ".join(report.warnings)
    calibrated = quantize(tmp_path / "m.onnx", tmp_path / "q.onnx", calibration=list(STREAM.reshape(12, 10, 6)))
    assert "give calibration streams" not in " ".join(calibrated.warnings)


def test_row_166_calibration_streams_on_which_the_values_grow_are_refused_by_name(tmp_path: Path) -> None:
    path = _growing(tmp_path / "m.onnx", 4.0)
    with pytest.raises(QuantizationError, match="give shorter streams, or quantize without calibration"):
        quantize(path, tmp_path / "q.onnx", calibration=[STREAM[:60] * 1e-3, STREAM[60:] * 1e-3])
    assert not (tmp_path / "q.onnx").exists()
    quantize(path, tmp_path / "q.onnx")


Fields = dict[str, Any]
METADATA: dict[str, tuple[Callable[[Fields], object], str]] = {
    "another version": (lambda q: q.update(version=99), "version is 99, .*; quantize the float file again"),
    "other bits": (lambda q: q["activation_bits"].update(R=7), "activation_bits must give 8 or 16 .*; quantize again"),
    "another range": (
        lambda q: q.update(activation_ranges={"R": -1.0}),
        r"activation_ranges must give 2\^-40 to 2\^40 .*; quantize again",
    ),
    "another weight": (
        lambda q: q["activation_bits"].update(none=8),
        "the graph has no weight 'none'; quantize the file again",
    ),
    "integers": (lambda q: q.update(integer=[]), "integer must give lists by node; quantize the file again"),
}


@pytest.mark.parametrize("name", METADATA)
def test_a_quantized_file_whose_metadata_does_not_fit_is_made_again(name: str, tmp_path: Path) -> None:
    change, message = METADATA[name]
    path, target = write_lstm(tmp_path / "m.onnx"), tmp_path / "q.onnx"
    quantize(path, target)
    model = onnx.load(target)
    entry = next(one for one in model.metadata_props if one.key == QUANTIZATION_KEY)
    fields = json.loads(entry.value)
    change(fields)
    entry.value = json.dumps(fields)
    with pytest.raises(ModelError, match=message):
        load(model.SerializeToString())
    quantize(path, target)
    assert load(target).stream().push(STREAM[:3]) is not None
