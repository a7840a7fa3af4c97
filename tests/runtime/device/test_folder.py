"""The folder of C code: what is in it, and what is refused; tests/devices builds and runs it."""

import re
import shutil
from pathlib import Path

import pytest
from tidegate.quant import quantize
from tidegate.runtime.device.folder import sizes_of, write_device_folder
from tidegate.runtime.device.targets import TARGETS
from tidegate.runtime.errors import DeviceError, ModelError
from tidegate.runtime.load import compile_model, plan_of
from tools.onnx_files import write_lstm


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A quantized LSTM, on a machine without compilers."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    return tmp_path / "m.int8.onnx"


def test_a_folder_has_all_that_its_files_include(model: Path, tmp_path: Path) -> None:
    write_device_folder(model, "generic", tmp_path / "out")
    for path in (tmp_path / "out").rglob("*.[ch]"):
        for name in re.findall(r'^#include "([^"]+)"$', path.read_text(), re.MULTILINE):
            places = [path.parent / name, tmp_path / "out/tidegate/include" / name, tmp_path / "out" / name]
            assert any(place.is_file() for place in places), (path, name)


def test_only_the_operators_and_variants_of_the_model_and_target_are_there(model: Path, tmp_path: Path) -> None:
    write_device_folder(model, "cortex-m4f", tmp_path / "out")
    sources = tmp_path / "out" / "tidegate"
    assert {path.stem for path in (sources / "operators").glob("*.c")} == {"lstm", "last", "linear"}
    assert {path.stem for path in (sources / "variants").rglob("*.c")} == {"arm_dsp", "scalar"}
    listed = (sources / "src/operators.inc").read_text()
    assert re.findall(r"TIDE_OPERATOR\((\w+)\)", listed) == ["lstm", "linear", "last"]


def test_the_report_counts_a_plan_without_a_compiler(model: Path, tmp_path: Path) -> None:
    report = write_device_folder(model, "cortex-m4f", tmp_path / "out")
    plan = plan_of(model)
    assert (report.target, report.compiler, report.code_bytes) == ("cortex-m4f", None, None)
    assert (report.plan_bytes, report.multiply_adds) == (len(plan), 4 * 8 * (6 + 8) + 8 * 3)
    assert report.ram_bytes == report.model_bytes + report.state_bytes + report.scratch_bytes + report.stack_bytes
    assert report.state_bytes == 4 * 2 * 8
    assert f"MODEL_MEMORY = {report.model_bytes}" in (tmp_path / "out/model.h").read_text()
    assert (tmp_path / "out/report.json").is_file()


def test_a_plan_file_gives_the_same_folder(model: Path, tmp_path: Path) -> None:
    compile_model(model, tmp_path / "m.tide")
    for source, out in ((model, "a"), (tmp_path / "m.tide", "b")):
        write_device_folder(source, "generic", tmp_path / out)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert files
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files)


def test_sizes_of_a_target_are_the_largest_of_its_variants(model: Path) -> None:
    plan = plan_of(model)
    packed, plain = sizes_of(plan, TARGETS["x86_64"]), sizes_of(plan, TARGETS["generic"])
    assert packed.model >= plain.model
    assert (packed.features, packed.outputs, packed.states) == (6, [3], [8, 8])


def test_an_unknown_target_is_refused_with_the_names(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="target 'z80' is unknown; wanted one of cortex-m0, "):
        write_device_folder(model, "z80", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_model_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"m\.onnx: not an ONNX file"):
        write_device_folder(tmp_path / "m.onnx", "generic", tmp_path / "out")
    assert not (tmp_path / "out").exists()
