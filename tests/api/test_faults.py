"""Commands that write meet a fault at each system call: what remains is the old file or the new one, and no lie."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from kernels.building import require, run

FAILING = Path(__file__).parents[1] / "tools" / "failing_calls.c"
KINDS = {"killed": 1, "full": 2, "short": 3}
COMMANDS = {
    "quantize": ("quantize", "m.onnx", "-o", "out"),
    "compile": ("compile", "m.int8.onnx", "-o", "out.tide"),
    "compile to C": ("compile", "m.int8.onnx", "-o", "out.c"),
    "run": ("run", "m.tide", "x.npy", "-o", "out.npy"),
}
# The command is run once as it is, then once for each call, in a child that meets the fault there.
TRIED = """
import ctypes, json, os, sys
from tidegate import cli
shim = ctypes.CDLL(None)
target, *arguments = json.loads(sys.argv[1])
def status(call, kind):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        code = 0
        shim.fail_at(call, kind)
        try:
            cli.main(arguments)
        except SystemExit as ended:
            code = ended.code or 0
        os._exit(code + 100 * (kind > 0 and shim.calls_left() > 0))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
def content():
    with open(target, "rb") as file:
        return file.read()
try:
    cli.main(arguments)  # and so all modules are loaded before the forks
except SystemExit as ended:
    assert not ended.code
new, old = content(), b"old" * 1000
for kind in (1, 2, 3):
    for call in range(1, 1000):
        with open(target, "wb") as file:
            file.write(old)
        ended = status(call, kind)
        found = "new" if content() == new else "old" if content() == old else "half"
        left = [name for name in os.listdir() if name.startswith(".tidegate-")]
        for name in left:
            os.unlink(name)
        print(json.dumps([kind, ended, found, len(left), open("said").read()]))
        if ended >= 100:
            break
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that is loaded in front of the C library."""
    built = tmp_path_factory.mktemp("shim") / "failing_calls.so"
    run(require("cc"), "-shared", "-fPIC", "-Wall", "-Werror", FAILING, "-ldl", "-o", built)
    return built


@pytest.mark.skipif(sys.platform != "linux", reason="a library is loaded in front of Linux's C library")
@pytest.mark.parametrize("command", COMMANDS)
def test_row_245_a_fault_at_any_system_call_leaves_the_old_file_or_the_new_one(
    folder: Path, shim: Path, command: str
) -> None:
    arguments = COMMANDS[command]
    given = json.dumps([arguments[-1], *arguments])
    command_line = ["env", f"LD_PRELOAD={shim}", sys.executable, "-c", TRIED, given]
    done = subprocess.run(command_line, cwd=folder, capture_output=True, text=True, check=True)
    tries = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    for kind, code in KINDS.items():
        *met, none = [rest for number, *rest in tries if number == code]
        assert len(met) >= 5, done.stdout  # make, write, flush, mode, rename, flush the folder
        assert none[:3] == [100, "new", 0]  # no call is left to fail
        print(command, kind, Counter(found for _, found, _, _ in met))
        for status, found, left, said in met:
            assert found == "new" if status == 0 else found in ("old", "new")
            CHECKS[kind](arguments[-1], status, left, said)


def _was_killed(_target: str, status: int, _left: int, _said: str) -> None:
    assert status == -9


def _named_the_file(target: str, status: int, left: int, said: str) -> None:
    assert (status, left, said) == (1, 0, f"tidegate: error: {target}: No space left on device\n")


def _wrote_the_rest(_target: str, status: int, left: int, _said: str) -> None:
    assert (status, left) == (0, 0)


CHECKS = {"killed": _was_killed, "full": _named_the_file, "short": _wrote_the_rest}
