"""A model is compiled by the name of its target."""

from pathlib import Path

import pytest
from tidegate.runtime.device.compiling import write_device_folder
from tidegate.runtime.errors import DeviceError, ModelError
from tools.onnx_files import write_lstm


def test_an_unknown_target_is_refused_with_the_names(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="target 'z80' is unknown; wanted one of cortex-m0, "):
        write_device_folder(write_lstm(tmp_path / "m.onnx"), "z80", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_model_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"m\.onnx: not an ONNX file"):
        write_device_folder(tmp_path / "m.onnx", "generic", tmp_path / "out")
    assert not (tmp_path / "out").exists()
