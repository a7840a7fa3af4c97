"""Advice of quantization that was followed: the way out that a message names leads to a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tidegate.quant import quantize
from tidegate.runtime.errors import QuantizationError
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
