"""Fixtures for tests of the command line: a runner, and folders of files."""

import socket
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tidegate import cli
from tools.commands import SIGNAL, Command, Outcome, write_files


@pytest.fixture
def tide(capfd: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs the command in this process."""

    def run(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as caught:
            cli.main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Outcome(int(caught.value.code or 0), out, err)

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a float file, an int8 file, a plan and a signal; the terminal has 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    write_files(tmp_path)
    return tmp_path


@pytest.fixture
def bad(folder: Path) -> Path:
    """Work in the folder of `folder`, with more files that are damaged or of the wrong kind."""
    Path("garbage.onnx").write_bytes(b"\x00garbage\xff" * 50)
    Path("empty.onnx").write_bytes(b"")
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    relu = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", infos[:1], infos[1:])
    onnx.save(helper.make_model(relu), "relu.onnx")
    plan = Path("m.tide").read_bytes()
    Path("short.tide").write_bytes(plan[: len(plan) // 2])
    Path("altered.tide").write_bytes(plan[:-200] + bytes([plan[-200] ^ 1]) + plan[-199:])
    np.save("wide.npy", np.zeros((4, 7), np.float32))
    nan = SIGNAL.copy()
    nan[13, 2] = np.nan
    np.save("nan.npy", nan)
    Path("ragged.csv").write_text("1,2,3\n1,2\n")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket.onnx")
    return folder
