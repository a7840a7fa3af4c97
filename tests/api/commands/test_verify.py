"""`tidegate verify`: its tables, its exit status, and how it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tools.commands import SIGNAL, Command, assert_refused, assert_wrong_usage


@pytest.mark.usefixtures("folder")
def test_a_quantized_file_is_compared_with_its_float_file(tide: Command) -> None:
    outcome = tide("verify", "m.int8.onnx", "--against", "m.onnx", "--data", "x.npy", "--chunks", "1,7,all")

    assert (outcome.status, outcome.err) == (0, "")
    assert "Proof: " in outcome.out
    assert "compared with m.onnx." in outcome.out
    assert "FAILED" not in outcome.out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["x.csv", "x.npz", "x.WAV"])
def test_data_may_have_any_form_of_a_signal(name: str, tide: Command) -> None:
    np.savetxt("x.csv", SIGNAL, delimiter=";")
    np.savez("x.npz", SIGNAL)
    soundfile.write("x.WAV", SIGNAL, 50, subtype="FLOAT")

    wanted = tide("verify", "m.int8.onnx", "--against", "m.onnx", "--data", "x.npy")
    assert tide("verify", "m.int8.onnx", "--against", "m.onnx", "--data", name) == wanted


@pytest.mark.usefixtures("folder")
def test_an_error_above_the_limit_has_status_1(tide: Command) -> None:
    strict = ("verify", "m.int8.onnx", "--against", "m.onnx", "--data", "x.npy", "--limit", "1e-9")

    assert tide(*strict).status == 1
    fields = json.loads(tide(*strict, "--json").out)
    assert fields["passed"] is False
    assert len(fields["checks"]) > 1


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--against is missing: give the original, or use --lookaheads"),
        (["--against", "m.onnx", "--chunks", "1,some"], "--chunks: 'some' is not a number of frames; wanted e.g. 1,3"),
        (["--against", "m.onnx", "--block", "4"], "--block has no effect with --against"),
        (["--against", "m.onnx", "--weights", "w.pt"], "--weights has no effect with m.onnx; it is for PACKAGE"),
        (["--against", "m.onnx", "--data", "x.npy", "--ids", "9"], "--ids has no effect with --data"),
        (["--lookaheads", "0,8"], "--data is missing: --lookaheads compares answers to a signal of yours"),
        (["--lookaheads", "0,-8", "--data", "x.npy"], "--lookaheads is '0,-8', wanted numbers from 0"),
        (["--lookaheads", "0", "--against", "m.onnx"], "--against has no effect with --lookaheads"),
        (["--lookaheads", "0", "--data", "x.npy", "--limit", "1"], "--limit has no effect with --lookaheads"),
    ],
)
def test_wrong_usage_has_status_2(options: list[str], message: str, tide: Command) -> None:
    assert_wrong_usage(tide("verify", "m.int8.onnx", *options), message)


def test_a_damaged_file_is_one_line(tide: Command, bad: Path) -> None:
    assert_refused(tide("verify", bad / "garbage.onnx", "--against", "m.onnx"), "not an ONNX file")
