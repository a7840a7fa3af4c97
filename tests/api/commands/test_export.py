"""`tidegate export`: its proof and contract, and how it refuses."""

import sys
from pathlib import Path

import pytest
from tools.commands import Command, assert_refused, assert_wrong_usage


def test_it_prints_proof_and_contract(tide: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    Path("tiny_net.py").write_text("from torch import nn\ndef make():\n    return nn.LSTM(3, 4, batch_first=True)\n")
    monkeypatch.delitem(sys.modules, "tiny_net", raising=False)

    outcome = tide("export", "tiny_net:make", "--example", "1x9x3", "--sample-rate", "50", "-o", "tiny.onnx")

    assert outcome.status == 0, outcome.err
    assert "whole, at the example" in outcome.out
    assert "a frame every 20 ms" in outcome.out
    assert (folder / "tiny.onnx").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--example", "1xax3"], "example '1xax3': wanted positive sizes with an x between them"),
        (["--example", "1x9x3", "--sample-rate", "-5"], "-5 samples per second, wanted a number above 0"),
        (["--example", "1x9x3", "--sample-rate", "nan"], "nan samples per second, wanted a number above 0"),
        (["--example", "1x9x3", "--hop", "0"], "--hop"),
        (["--example", "1x9x3", "--hop", "10ms"], "--hop"),
    ],
)
def test_wrong_usage_has_status_2(options: list[str], message: str, tide: Command) -> None:
    pytest.importorskip("torch")

    assert_wrong_usage(tide("export", "no_such:net", *options, "-o", "t.onnx"), message)


def test_it_names_a_module_that_is_not_there(tide: Command, folder: Path) -> None:
    pytest.importorskip("torch")

    assert_refused(tide("export", "no_such:net", "--example", "1x9x3", "-o", "t.onnx"), "no module 'no_such'")
    assert not (folder / "t.onnx").exists()
