"""Large packages are imported when an export runs, not earlier."""

import subprocess
import sys

import pytest
import tidegate.export
from tidegate.export.optional import need
from tidegate.runtime.errors import BackendError


def test_importing_the_package_imports_neither_torch_nor_onnxruntime() -> None:
    code = "import sys, tidegate.export; sys.exit(bool({'torch', 'onnxruntime', 'safetensors'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_public_names_are_these() -> None:
    assert tidegate.export.__all__ == [
        "Check",
        "ExportReport",
        "LiftReport",
        "Verification",
        "example_from_shape",
        "export_model",
        "lift",
        "load_module",
        "verify",
    ]


def test_a_package_that_is_there_is_returned() -> None:
    assert need("json").loads("1") == 1


def test_a_package_that_is_missing_is_named_with_the_way_out() -> None:
    with pytest.raises(BackendError, match=r"no_such_package is not installed; .* pip install 'tidegate\[export\]'"):
        need("no_such_package.part")


def test_a_package_that_is_broken_shows_what_it_lacks(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    (folder / "half_installed.py").write_text("import its_own_missing_part\n")
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(ModuleNotFoundError, match="its_own_missing_part"):
        need("half_installed")
