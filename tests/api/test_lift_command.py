"""`tidegate lift` on the command line: what it prints, and how it refuses."""

import json
from pathlib import Path

import onnx
import pytest
from tidegate.cli import main
from tools import foreign_files


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_it_prints_proof_contract_and_what_was_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")  # lift proves what it writes by it
    onnx.save(foreign_files.one_frame(), tmp_path / "v.onnx")
    assert _run("lift", tmp_path / "v.onnx", "-o", tmp_path / "s.onnx", "--state", "h_prev=h_next", "--state",
                "c_prev=c_next", "--sample-rate", 100) == 0  # fmt: skip
    text = " ".join(capsys.readouterr().out.split())
    assert "whole, at the example" in text
    assert "h_prev <- h_next" in text
    assert "It takes one frame per run; now its batch holds the frames of a push" in text
    assert "a frame every 10 ms" in text


def test_json_holds_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")  # lift proves what it writes by it
    onnx.save(foreign_files.keras(), tmp_path / "v.onnx")
    assert _run("lift", tmp_path / "v.onnx", "-o", tmp_path / "s.onnx", "--json") == 0
    fields = json.loads(capsys.readouterr().out)
    assert fields["contract"]["states"][0]["input"] == "model.lstm.h_in"
    assert fields["done"] == ["States that were hidden: model.lstm.h_in, model.lstm.c_in."]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--state", "h"], 2, "--state 'h': wanted NAME=VALUE"),
        (["--set", "sr=fast"], 2, "'fast' is not a number"),
        (["--set", "sr=16000"], 1, "there is no input 'sr' to set; the file has args_0"),
        (["--frame", "0"], 2, "--frame"),
    ],
)
def test_it_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], status: int, message: str
) -> None:
    onnx.save(foreign_files.keras(), tmp_path / "v.onnx")
    assert _run("lift", tmp_path / "v.onnx", "-o", tmp_path / "s.onnx", *options) == status
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "s.onnx").exists()
