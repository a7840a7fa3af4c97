"""Hostile files: every command refuses them by name in one line, without a traceback, leaves no file, and ends soon."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import tidegate
from tidegate import cli
from tools.hostile import HOSTILE
from tools.onnx_files import write_lstm

for _needed in ("onnxruntime", "torch"):  # some of the commands need them
    pytest.importorskip(_needed)

MOST_SECONDS = 60  # for all commands on a busy machine; a command that waits for a pipe would never end

DOORS = {
    "inspect": ["inspect", "{bad}"],
    "lift": ["lift", "{bad}", "-o", "out.onnx"],
    "verify": ["verify", "{bad}", "--against", "good.onnx"],
    "verify against": ["verify", "good.onnx", "--against", "{bad}"],
    "verify lookaheads": ["verify", "{bad}", "--data", "x.npy", "--lookaheads", "0,4"],
    "quantize": ["quantize", "{bad}", "-o", "out.onnx"],
    "compile": ["compile", "{bad}", "-o", "out.tide"],
    "compile c": ["compile", "{bad}", "--format", "c", "-o", "out.c"],
    "compile target": ["compile", "{bad}", "--target", "cortex-m4f", "-o", "out"],
    "run": ["run", "{bad}", "x.npy", "-o", "out.npy"],
    "run onnxruntime": ["run", "{bad}", "x.npy", "--backend", "onnxruntime", "-o", "out.npy"],
    "bench": ["bench", "{bad}", "--json", "out.json"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a good file, a good plan and a signal."""
    inside = tmp_path / "models"
    inside.mkdir()
    monkeypatch.chdir(inside)
    write_lstm(inside / "good.onnx")
    tidegate.compile_model("good.onnx", "good.tide")
    np.save("x.npy", np.zeros((20, 6), np.float32))
    return inside


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """Fail a test that does not end in time."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done in {MOST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def listing(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.parent.rglob("*"))


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_file_is_refused_by_name_at_every_door(
    kind: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make, _ = HOSTILE[kind]
    bad = folder / "bad.onnx"
    make(bad)
    before = listing(folder)
    for door, arguments in DOORS.items():
        with pytest.raises(SystemExit) as caught:
            cli.main([argument.format(bad=bad) for argument in arguments])
        out, err = capfd.readouterr()
        where = f"{door}: {err}"
        assert caught.value.code in (1, 2), where
        assert out == "", where
        assert re.fullmatch(r"tidegate: error: [^\n]+\n", err), where
        assert str(bad) in err, where
        assert "unexpected" not in err, where
        assert listing(folder) == before, where


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_hostile_file_is_not_loaded(kind: str, backend: str, folder: Path) -> None:
    make, message = HOSTILE[kind]
    make(folder / "bad.onnx")
    if backend == "onnxruntime" and "plan" in kind:
        message = "a compiled plan runs only on backend='native'"
    with pytest.raises(tidegate.ModelError, match=re.escape(str(folder / "bad.onnx")) + f".*{re.escape(message)}"):
        tidegate.load(folder / "bad.onnx", backend)  # type: ignore[arg-type]
