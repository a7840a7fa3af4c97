"""`tidegate lift`: its proof and contract, and how it refuses."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from tools import foreign_files
from tools.commands import Command


def test_it_prints_proof_contract_and_changes(tmp_path: Path, tide: Command) -> None:
    pytest.importorskip("onnxruntime")  # the proof runs the file in it
    onnx.save(foreign_files.one_frame(), tmp_path / "v.onnx")

    outcome = tide("lift", tmp_path / "v.onnx", "-o", tmp_path / "s.onnx", "--state", "h_prev=h_next", "--state",
                   "c_prev=c_next", "--sample-rate", 100)  # fmt: skip

    assert outcome.status == 0
    text = " ".join(outcome.out.split())
    assert "whole, at the example" in text
    assert "h_prev <- h_next" in text
    assert "takes one frame" in text
    assert "a frame every 10 ms" in text


def test_json_holds_the_report(tmp_path: Path, tide: Command) -> None:
    pytest.importorskip("onnxruntime")  # the proof runs the file in it
    onnx.save(foreign_files.keras(), tmp_path / "v.onnx")

    outcome = tide("lift", tmp_path / "v.onnx", "-o", tmp_path / "s.onnx", "--json")

    assert outcome.status == 0
    fields = json.loads(outcome.out)
    assert fields["contract"]["states"][0]["input"] == "model.lstm.h_in"
    assert len(fields["done"]) == 1
    assert "model.lstm.h_in, model.lstm.c_in" in fields["done"][0]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--state", "h"], 2, "--state 'h': wanted NAME=VALUE"),
        (["--set", "sr=fast"], 2, "'fast' is neither a number nor the name of a .npy file"),
        (["--set", "args_0=none.npy"], 1, "none.npy: no such file"),
        (["--set", "sr=16000"], 1, "there is no input 'sr' to set; the file has args_0"),
        (["--frame", "0"], 2, "--frame"),
        (["--sample-rate", "0"], 2, "0 samples per second, wanted a number above 0"),
    ],
)
def test_a_wrong_option_is_refused_and_no_file_is_left(
    tmp_path: Path, tide: Command, options: list[str], status: int, message: str
) -> None:
    onnx.save(foreign_files.keras(), tmp_path / "v.onnx")

    outcome = tide("lift", tmp_path / "v.onnx", "-o", tmp_path / "s.onnx", *options)

    assert outcome.status == status
    assert message in " ".join(outcome.err.split())
    assert not (tmp_path / "s.onnx").exists()


def test_it_takes_the_options_of_blocks(tmp_path: Path, tide: Command) -> None:
    pytest.importorskip("onnxruntime")  # the proof runs the file in it
    model = foreign_files.keras(batch=1)
    for attribute in next(node for node in model.graph.node if node.op_type == "LSTM").attribute:
        if attribute.name == "direction":
            attribute.s = b"reverse"
    onnx.save(model, tmp_path / "v.onnx")

    outcome = tide("lift", tmp_path / "v.onnx", "-o", tmp_path / "s.onnx", "--block", 8, "--lookahead", 2, "--json")

    assert outcome.status == 0
    blocks = json.loads(outcome.out)["contract"]["blocks"]
    assert blocks == {"frames": 8, "lookahead": 2, "limit": None}


@pytest.mark.parametrize("name", ["x.npy", "x.csv"])
def test_data_has_any_form_of_a_signal(tmp_path: Path, tide: Command, name: str) -> None:
    pytest.importorskip("onnxruntime")  # the proof runs the file in it
    onnx.save(foreign_files.keras(), tmp_path / "v.onnx")
    signal = np.random.default_rng(0).standard_normal((9, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", signal)
    np.savetxt(tmp_path / "x.csv", signal, delimiter=";")

    outcome = tide("lift", tmp_path / "v.onnx", "-o", tmp_path / "s.onnx", "--data", tmp_path / name)

    assert outcome.status == 0
    assert "whole, on the data" in " ".join(outcome.out.split())


def test_a_quantized_file_far_from_its_weights_is_a_warning(tmp_path: Path, tide: Command) -> None:
    pytest.importorskip("onnxruntime")
    onnx.save(foreign_files.quantized(tmp_path, foreign_files.loud()), tmp_path / "v.onnx")
    np.save(tmp_path / "x.npy", np.zeros((4, 5), np.float32))
    files = tmp_path / "v.onnx", "-o", tmp_path / "s.onnx"

    outcome = tide("lift", *files)

    assert outcome.status == 0
    assert "warning: the file's own 8-bit activations change its answers to noise by" in " ".join(outcome.out.split())
    fields = json.loads(tide("lift", *files, "--json").out)
    assert len(fields["warnings"]) == 1
    assert fields["integers"][0]["signal"] == "noise"
    assert fields["integers"][0]["activation_error"] > 0.1
    fields = json.loads(tide("lift", *files, "--data", tmp_path / "x.npy", "--json").out)
    assert fields["warnings"] == []
    assert [error["signal"] for error in fields["integers"]] == ["noise", "the data"]


def test_data_of_another_form_is_refused_by_its_name(tmp_path: Path, tide: Command) -> None:
    pytest.importorskip("onnxruntime")
    onnx.save(foreign_files.keras(), tmp_path / "v.onnx")
    np.save(tmp_path / "x.npy", np.zeros((9, 4), np.float32))

    outcome = tide("lift", tmp_path / "v.onnx", "-o", tmp_path / "s.onnx", "--data", tmp_path / "x.npy")

    assert outcome.status == 1
    assert "x.npy: has shape (9, 4), wanted (frames, 5)" in " ".join(outcome.err.split())
    assert not (tmp_path / "s.onnx").exists()
