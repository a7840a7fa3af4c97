"""The folder for the browser: its files, and what is refused; tests/devices streams through it."""

import json
import re
from pathlib import Path

import pytest
from tidegate.runtime.device import web
from tidegate.runtime.device.compiling import write_device_folder
from tidegate.runtime.device.module import SIMD, WEB
from tidegate.runtime.errors import DeviceError, PlanError
from tidegate.runtime.load import compile_model, plan_of
from tools.onnx_files import write_lstm

IMPORTED = re.compile(r'(?:from|import) "(\./[^"]+)"')


@pytest.fixture
def plan(tmp_path: Path) -> bytes:
    return plan_of(write_lstm(tmp_path / "m.onnx", 2, 3))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Modules are not compiled: the flags that each would be built with."""
    flags: list[list[str]] = []

    def build(folder: Path, given: list[str]) -> bytes:
        assert (folder / "operators/lstm.c").is_file()
        assert not (folder / "operators/gru.c").exists()
        flags.append(list(given))
        return b"\0asm" + bytes(len(flags))

    monkeypatch.setattr(web, "build_module", build)
    return flags


def test_a_folder_has_the_plan_two_modules_and_all_that_its_files_import(
    plan: bytes, tmp_path: Path, built: list[list[str]]
) -> None:
    (tmp_path / "m.tide").write_bytes(plan)
    report = write_device_folder(tmp_path / "m.tide", "wasm", tmp_path / "out")
    assert (tmp_path / "out/model.tide").read_bytes() == plan
    assert [set(SIMD) <= set(flags) for flags in built] == [True, False]
    assert all("-DTIDE_WITHOUT_gru" in flags for flags in built)
    assert json.loads((tmp_path / "out/report.json").read_text())["target"] == "wasm"
    assert report.flash_bytes == len(plan) + len(b"\0asm") + 2  # the longer of both modules
    scripts = [path for ending in ("*.js", "*.d.ts") for path in (tmp_path / "out").rglob(ending)]
    assert len(scripts) >= 10
    for path in scripts:
        for name in IMPORTED.findall(path.read_text()):
            assert (path.parent / name).is_file(), (path, name)


def test_a_model_and_its_plan_give_the_same_folder(plan: bytes, tmp_path: Path, built: list[list[str]]) -> None:
    compile_model(tmp_path / "m.onnx", tmp_path / "m.tide")
    for source, out in (("m.onnx", "a"), ("m.tide", "b")):
        write_device_folder(tmp_path / source, "wasm", tmp_path / out)
    assert (tmp_path / "a/model.tide").read_bytes() == (tmp_path / "b/model.tide").read_bytes() == plan
    assert built[:2] == built[2:]


@pytest.mark.usefixtures("built")
def test_a_damaged_plan_is_refused_and_nothing_is_written(plan: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.tide").write_bytes(plan[:-1])
    with pytest.raises(PlanError, match="size is"):
        write_device_folder(tmp_path / "m.tide", "wasm", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("built")
def test_nothing_is_written_through_a_link(plan: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.tide").write_bytes(plan)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/model.wasm").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeviceError, match=r"model\.wasm: is a link"):
        write_device_folder(tmp_path / "m.tide", "wasm", tmp_path / "out")
    assert not (tmp_path / "elsewhere").exists()


def test_the_page_runs_under_a_strict_policy(tmp_path: Path) -> None:
    text = (WEB / "page/index.html").read_text()
    assert "default-src 'none'" in text
    assert re.findall(r"<script(?![^>]* src=)|\son\w+=", text) == []  # no script in the page
    scripts = "".join(path.read_text() for path in WEB.rglob("*.js"))
    assert re.findall(r"\beval\(|new Function\(", scripts) == []
    assert not list(tmp_path.iterdir())
