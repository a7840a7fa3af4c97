"""The package: its public names, a light import, and streaming without torch, onnxruntime or onnx."""

import re
import subprocess
import sys
import tomllib
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


WITHOUT = "import sys\nfor name in ('onnx', 'google', 'typer', 'rich'): sys.modules[name] = None\n"


def test_plan_streams_without_onnx(tmp_path: Path) -> None:
    """A device that gets a plan file needs only numpy."""
    tidegate.quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    tidegate.compile_model(tmp_path / "m.int8.onnx", tmp_path / "m.tide")
    code = f"""{WITHOUT}
import numpy as np, tidegate as tg
print(tg.load(sys.argv[1]).stream().push(np.zeros((2, 6), np.float32)).shape)
"""
    assert in_new_process(code, tmp_path / "m.tide") == "(3,)"


def test_whatever_needs_onnx_says_how_to_install_it(tmp_path: Path) -> None:
    path = write_lstm(tmp_path / "m.onnx")
    code = f"""{WITHOUT}
import tidegate as tg
said = set()
for use in (
    lambda: tg.load(sys.argv[1]),
    lambda: tg.load(sys.argv[1], "onnxruntime"),
    lambda: tg.compile_model(sys.argv[1], "m.tide"),
    lambda: tg.inspect_file(sys.argv[1]),
    lambda: tg.write_device_folder(sys.argv[1], "generic", "folder"),
    lambda: tg.quantize,
    lambda: tg.export_model,
    lambda: tg.lift,
    lambda: tg.lookahead_curve,
    lambda: tg.tunable,
):
    try:
        use()
    except tg.BackendError as error:
        said.add(str(error))
print(*said, sep="\\n")
"""
    wanted = "onnx is not installed; ONNX files need it, and compiled plans do not: pip install 'tidegate[onnx]'"
    assert in_new_process(code, path) == wanted


def test_command_without_its_packages_says_how_to_install_them() -> None:
    code = f"""{WITHOUT}
from tidegate.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    wanted = "tidegate: error: typer is not installed; the command needs it: pip install 'tidegate[cli]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", wanted)


def test_package_itself_needs_numpy_alone() -> None:
    """A device that streams a plan installs nothing else; what is more comes by extras."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert [re.split(r"[^a-z]", text)[0] for text in project["dependencies"]] == ["numpy"]
