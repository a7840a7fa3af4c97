"""Where an allocation fails, a call changes nothing, and a command leaves the old file or the new one."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from faults.preloading import library_of, on_linux
from tools.commands import write_files

HERE = Path(__file__).parent
STRIDE = int(os.environ.get("TIDEGATE_FAULT_STRIDE", "31"))  # `make damage` tries every point
TODAY = int(f"{datetime.now(UTC):%Y%m%d}") % STRIDE  # other points each day
COMMANDS = {  # points of a command by which the stride grows, for each has some ten thousand
    "run m.tide x.npy -o out.npy": 100,
    "compile m.int8.onnx -o out.tide": 100,
    "quantize m.onnx -o out": 1000,
}
# What a command that fails has said: tidegate, Python, a package in Rust (pydantic's panics), or the C library.
SAID = re.compile("tidegate: error: |MemoryError|pyo3|cannot allocate memory for thread-local data")
# Python 3.11 loses the MemoryError of a frame that an exception goes through.
LOST = "SystemError: error return without exception set"

pytestmark = on_linux


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that is loaded in front of the C library."""
    return library_of("failing_allocations", tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a float file, an int8 file, a plan and a signal."""
    made = tmp_path_factory.mktemp("commands")
    write_files(made)
    return made


def tries(shim: Path, program: str, *arguments: str, folder: Path) -> list[list[str]]:
    """Return what a program of this folder prints for each point."""
    memory = {"LD_PRELOAD": str(shim), "PYTHONMALLOC": "malloc"}  # Python's own pools would hide most allocations
    command = [sys.executable, str(HERE / program), *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ | memory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def test_row_247_a_call_that_finds_no_memory_changes_nothing_and_can_be_made_again(shim: Path, tmp_path: Path) -> None:
    """Or is done: what could be left out is not needed. Several allocations in a row fail, or one."""
    points = ("--stride", str(STRIDE), "--first", str(1 + TODAY))
    found = tries(shim, "doors.py", *points, folder=tmp_path)
    print(f"{len(found)} points:", Counter(said for *_, said in found))
    assert len({door for door, *_ in found}) >= 10
    assert [line for line in found if line[3] not in ("refused", "done", LOST)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_row_248_a_command_that_finds_no_memory_leaves_the_old_file_or_the_new_one(
    shim: Path, folder: Path, command: str
) -> None:
    """And has status 0 only with the new one. The packages of others end the process at some points (below 0)."""
    stride = STRIDE * COMMANDS[command]
    found = tries(shim, "commands.py", command, "--stride", str(stride), "--first", str(1 + TODAY), folder=folder)
    verdicts = [re.fullmatch(r"(-?\d+), (\w+), (\d) left: (.*)", said, re.DOTALL) for _, _, said in found]
    assert len(verdicts) >= 4
    for (first, count, _), verdict in zip(found, verdicts, strict=True):
        assert verdict is not None
        status, file, left, said = int(verdict[1]), verdict[2], int(verdict[3]), verdict[4]
        assert file == "new" if status == 0 else file in ("old", "new"), (first, count, verdict[0])
        assert left == 0 or status < 0 or int(count) > 1, verdict[0]
        assert status < 1 or not said or SAID.search(said), verdict[0]
    print(command, Counter(verdict[0] for verdict in verdicts if verdict))
