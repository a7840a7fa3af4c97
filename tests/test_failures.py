"""docs/failures.md names a test for each failure: every row has one, and every named test exists."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tools.onnx_files import write_lstm

ROOT = Path(__file__).parents[1]
INDEX = ROOT / "docs" / "failures.md"
# The rows that are there for good: a number is never given up. The first 44 are the failures that were known first.
ROWS = (
    "1-23 25-36 38-71 75 80-83 85-88 90-97 110-113 120-127 130-133 135-144 150-158 160-166 170-171 175-179 "
    "190-197 245-249"
)
# What may write a file in another way than `write_atomic`, and why.
OTHER_WRITERS = {
    "runtime/files.py": "it is write_atomic",
    "runtime/serving/stores/folder.py": "a record outlives the process, not a power failure: docs/serve.md",
    "runtime/device/web.py": "sources in a temporary folder, for the compiler",
}


def rows() -> dict[str, list[str]]:
    """Return the tests that each row of the index names, by the number of the row."""
    found = {}
    for line in INDEX.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0].isdecimal():
            assert cells[0] not in found, f"row {cells[0]} is there twice"
            found[cells[0]] = re.findall(r"`(test_\w+)`", cells[3])
    return found


def existing() -> set[str]:
    """Return the name of every test."""
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def numbers(ranges: str) -> set[str]:
    """Return the numbers of ranges such as `1-3 7`."""
    found: set[str] = set()
    for part in ranges.split():
        first, _, last = part.partition("-")
        found |= {str(number) for number in range(int(first), int(last or first) + 1)}
    return found


def test_no_row_goes() -> None:
    assert numbers(ROWS) - rows().keys() == set()


def test_every_failure_has_a_test_named_after_it_and_every_test_exists() -> None:
    unnamed = [row for row, tests in rows().items() if not any(name.startswith(f"test_row_{row}_") for name in tests)]
    assert unnamed == []
    named = {name for tests in rows().values() for name in tests}
    assert named - existing() == set()


def test_every_sentence_of_the_threat_model_has_tests_that_exist() -> None:
    """docs/security.md says who may send what; a sentence without a test is a hope."""
    lines = (ROOT / "docs" / "security.md").read_text().splitlines()
    sentences = [line for line in lines if line.startswith("|") and not line.startswith(("| sentence", "|---"))]
    named = [re.findall(r"`(test_\w+)`", line) for line in sentences]
    assert len(sentences) >= 23
    assert all(named)
    assert {name for tests in named for name in tests} - existing() == set()


# ---- every file is written in one way ----


def writes(call: ast.Call) -> bool:
    """Return whether a call opens a file for writing, or writes one; memory and descriptors are no files."""
    called = ast.unparse(call.func)
    first = ast.unparse(call.args[0]) if call.args else ""
    if called == "open" or called.endswith(".open"):
        modes = [one for one in (*call.args, *(word.value for word in call.keywords)) if isinstance(one, ast.Constant)]
        return not first.isdecimal() and any(re.fullmatch(r"[wax]b?\+?|rb?\+", str(mode.value)) for mode in modes)
    by_name = called.rpartition(".")[2] in ("write_text", "write_bytes", "tofile", "savefig")
    return (by_name or called in ("np.save", "np.savez", "onnx.save")) and first not in ("buffer", "data")


@pytest.mark.parametrize("folder", ["api", "export", "quant", "runtime"])
def test_row_14_every_file_is_written_by_one_function(folder: str) -> None:
    """So every output keeps the promises of write_atomic: no part of a file, and a link, a device or a pipe stays."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and writes(node)
    }
    assert found == {path for path in OTHER_WRITERS if path.startswith(folder)}


# ---- nothing is unpickled or evaluated ----


@pytest.mark.parametrize("folder", ["api", "export", "quant", "runtime", "benchmarks"])
def test_row_16_no_source_unpickles_or_evaluates(folder: str) -> None:
    """No call may run code that comes from a file."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "marshal", "shelve", "joblib"} & set(names), path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), f"{path}:{node.lineno}"
            if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "weights_only"):
                safe = node.arg == "weights_only"
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is safe, path


def test_loading_files_unpickles_no_class_and_starts_no_program(tmp_path: Path) -> None:
    """Python's audit events report every class that is unpickled and every program that is started."""
    code = """
import sys
import numpy as np
import tidegate as tg
import tidegate.quant, tidegate.runtime.inspection, tidegate.runtime.lowering.lower
folder = sys.argv[1]
tg.quantize(f"{folder}/m.onnx", f"{folder}/warm.onnx")
tg.load(f"{folder}/warm.onnx").stream().push(np.ones((3, 6), np.float32))
seen = []
forbidden = ("pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "socket.connect", "ctypes.dlopen")
sys.addaudithook(lambda event, arguments: seen.append(event) if event in forbidden else None)
tg.quantize(f"{folder}/m.onnx", f"{folder}/m.int8.onnx")
tg.compile_model(f"{folder}/m.int8.onnx", f"{folder}/m.tide")
for name in ("m.onnx", "m.int8.onnx", "m.tide"):
    stream = tg.load(f"{folder}/{name}").stream()
    stream.push(np.ones((3, 6), np.float32))
    stream.restore(stream.snapshot())
    tidegate.runtime.inspection.inspect_file(f"{folder}/{name}")
print(seen)
"""
    write_lstm(tmp_path / "m.onnx")
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
