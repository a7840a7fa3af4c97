"""The package: its public names, a light import, and streaming without torch, onnxruntime or onnx."""

import subprocess
import sys
from pathlib import Path

import pytest
import tidegate
from tools.onnx_files import write_lstm

NAMES = [
    "BackendError",
    "ChunkError",
    "Contract",
    "ContractError",
    "DeviceError",
    "DeviceReport",
    "ExportError",
    "ExportReport",
    "Group",
    "Inspection",
    "LiftReport",
    "Live",
    "LiveAnswer",
    "LookaheadPoint",
    "Model",
    "ModelError",
    "PlanError",
    "QuantizationError",
    "QuantizationReport",
    "RefusedRowsError",
    "RowError",
    "ServerError",
    "SignatureError",
    "SnapshotError",
    "StateError",
    "Stream",
    "TidegateError",
    "UnsupportedError",
    "Verification",
    "__version__",
    "compile_model",
    "export_model",
    "inspect_file",
    "lift",
    "live",
    "load",
    "lookahead_curve",
    "quantize",
    "sign",
    "tunable",
    "verify",
    "write_device_folder",
]


def in_new_process(code: str, *arguments: object) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_public_names_are_these() -> None:
    assert tidegate.__all__ == NAMES


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tidegate' has no attribute 'quantise'"):
        tidegate.quantise  # noqa: B018


def test_import_brings_in_nothing_heavy() -> None:
    code = "import sys, tidegate; print([m for m in ('numpy', 'onnx', 'onnxruntime', 'torch') if m in sys.modules])"
    assert in_new_process(code) == "[]"


def test_streaming_works_where_torch_and_onnxruntime_are_not_installed(tmp_path: Path) -> None:
    """A fresh process, in which both cannot be imported, quantizes, compiles, loads and pushes."""
    write_lstm(tmp_path / "m.onnx")
    code = """
import sys
sys.modules['torch'] = sys.modules['onnxruntime'] = None
import numpy as np, tidegate as tg
folder = sys.argv[1]
tg.quantize(folder + '/m.onnx', folder + '/m.int8.onnx')
tg.compile_model(folder + '/m.int8.onnx', folder + '/m.tide')
for name in ('m.int8.onnx', 'm.tide'):
    print(tg.load(f'{folder}/{name}').stream().push(np.zeros((2, 6), np.float32)).shape)
"""
    assert in_new_process(code, tmp_path) == "(3,)\n(3,)"


def test_plan_streams_without_onnx(tmp_path: Path) -> None:
    """A device that gets a plan file needs only numpy."""
    tidegate.quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    tidegate.compile_model(tmp_path / "m.int8.onnx", tmp_path / "m.tide")
    code = """
import sys
sys.modules['onnx'] = sys.modules['google'] = None
import numpy as np, tidegate as tg
print(tg.load(sys.argv[1]).stream().push(np.zeros((2, 6), np.float32)).shape)
"""
    assert in_new_process(code, tmp_path / "m.tide") == "(3,)"
