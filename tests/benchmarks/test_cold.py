"""The cold start: what each process imports and answers. The tests make no claim about its time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tidegate.benchmarks import cold


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return cold.prepare(tmp_path_factory.mktemp("cold"))


def printed(program: str) -> list[str]:
    """Run a program in a fresh process and return the lines that it prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_start_from_a_plan_imports_neither_onnx_nor_the_code_for_contracts(programs: dict[str, str]) -> None:
    """The program prints its figures, then the answer's shape, then whether each module was imported."""
    ask = """
print(answer.shape, np.isfinite(answer).all())
wanted = ("json.decoder", "dataclasses", "hashlib", "tidegate.runtime.contract", "tidegate.runtime.graph")
for name in (*wanted, "tidegate.quant"):
    print(name, name in sys.modules)
"""
    numbers, answer, *imported = printed(programs["tidegate"] + ask)
    assert numbers.split()[2] == "-"
    assert answer == "(1, 256) True"
    assert [line.split()[1] for line in imported] == ["False"] * 6


def test_the_peer_answers_from_its_own_int8_file(programs: dict[str, str]) -> None:
    numbers, kinds, shape = printed(programs["onnxruntime"] + "print(len(feeds))\nprint(answer[0].shape)\n")
    assert numbers.split()[2] == "onnxruntime"
    assert int(kinds) == 7  # the frame, h and c of three layers
    assert shape == "(1, 1, 256)"


def test_the_command_writes_every_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold, "CASE", "A")
    cold.main(["--processes", "1", "--json", str(tmp_path / "cold.json"), "--markdown"])
    fields = json.loads((tmp_path / "cold.json").read_text())
    starts = {start["name"]: start for start in fields["starts"]}
    assert list(starts) == ["numpy alone", "tidegate", "onnxruntime"]
    assert fields["processes"] == 1
    assert all(start["ms"] > 0 and start["mb"] > 1 for start in starts.values())
    printed = capsys.readouterr().out
    assert f"{starts['tidegate']['ms'] - starts['numpy alone']['ms']:+.1f}" in printed
    assert "beyond numpy: " in printed


def test_a_process_that_fails_is_an_error_by_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold, "prepare", lambda _: {"tidegate": "raise ValueError('no answer')"})
    with pytest.raises(SystemExit, match="cold: error: a started process failed: ValueError: no answer"):
        cold.main(["--processes", "1"])
