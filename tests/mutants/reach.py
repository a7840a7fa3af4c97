"""Which tests reach which line of the Python that guards the engine (`make coverage` prints what none reaches).

    python tests/mutants/reach.py

runs the tests of each guard under coverage, file by file, and prints for each guard the share of its lines and branches
and those that are missed. A mutant is judged first by the tests that reach its line, the quickest first. What is found
stays in build/mutants/reach until the guard or the test changes. Processes that a test starts are not counted.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from mutants.choosing import ROOT  # noqa: E402
from mutants.contexts import SHARED  # noqa: E402
from mutants.runs import run_tests  # noqa: E402

REACH = ROOT / "build" / "mutants" / "reach"
# The tests that are meant to kill the mutants of a file, the quickest first.
TESTS = {
    "runtime/graph/gate.py": (
        "runtime/graph/test_gate_messages.py",
        "runtime/graph/test_gate.py",
        "api/test_hostile.py",
    ),
    "runtime/graph/structure.py": ("runtime/graph/test_structure.py", "runtime/graph/test_gate.py"),
    "runtime/contract.py": ("runtime/test_contract.py", "runtime/test_clocks.py", "runtime/test_load.py"),
    "runtime/plan/writer.py": ("runtime/plan/test_header.py", "runtime/plan/test_writer.py", "runtime/test_engine.py"),
    "runtime/plan/text.py": ("runtime/plan/test_text.py", "runtime/plan/test_writer.py"),
    "runtime/backends/onnxruntime_snapshot.py": (
        "runtime/backends/test_onnxruntime_snapshot.py",
        "runtime/test_snapshot.py",
    ),
    "runtime/files.py": ("runtime/test_file_calls.py", "runtime/test_files.py"),
    "runtime/device/file_list.py": ("runtime/device/test_file_list.py", "runtime/device/test_folder.py"),
    "export/proof/comparison.py": ("export/proof/test_comparison.py", "export/proof/test_proof.py"),
    "export/proof/proof.py": (
        "export/proof/test_proof_steps.py",
        "export/proof/test_proof.py",
        "export/test_lifter.py",
    ),
    "export/states/recurrent_states.py": ("export/states/test_recurrent_states.py", "export/test_lifter.py"),
    "quant/rounding/compensated.py": ("quant/rounding/test_compensated.py", "quant/test_calibration.py"),
    "quant/rounding/choice.py": ("quant/rounding/test_choice.py", "quant/test_precisions.py"),
    "quant/rounding/budget.py": ("quant/rounding/test_budget.py", "quant/test_calibration.py"),
}


def digest_of(test: str) -> str:
    """Return a digest of a file of tests and of the guards that it is meant for."""
    read = [ROOT / "tests" / test, *(ROOT / guard for guard, tests in TESTS.items() if test in tests)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in read)).hexdigest()


def data_of(test: str) -> Path:
    """Return what coverage found in a file of tests, which runs if it or a guard that it is meant for has changed."""
    data, digest = REACH / test.replace("/", "+").removesuffix(".py"), digest_of(test)
    if not data.with_suffix(".json").exists() or noted(data)["digest"] != digest:
        REACH.mkdir(parents=True, exist_ok=True)
        for old in (data, data.with_suffix(".json")):
            old.unlink(missing_ok=True)
        files = [str(ROOT / guard) for guard in TESTS]
        if failing := run_tests(test, "", Path(), reach=data, files=files, digest=digest):
            sys.exit(f"{failing} fails without a mutant")
    return data


def noted(data: Path) -> dict[str, Any]:
    """Return what stands next to what coverage found."""
    found: dict[str, Any] = json.loads(data.with_suffix(".json").read_text())
    return found


def tests_of(file: str, line: int, test: str) -> dict[str, float]:
    """Return the tests of a file that reach a line of a guard, and their seconds, the quickest first.

    All of them if a fixture that lives longer than a test does, or an import.
    """
    data = coverage.CoverageData(str(data_of(test)))
    data.read()
    by_line = data.contexts_by_lineno(str(ROOT / file))
    named = {name for one in statement_of((ROOT / file).read_text(), line) for name in by_line.get(one, [])}
    seconds: dict[str, float] = noted(data_of(test))["seconds"]
    reaching = seconds if named & {"", SHARED} else {name: seconds[name] for name in named}
    return dict(sorted(reaching.items(), key=lambda pair: pair[1]))


def statement_of(text: str, line: int) -> set[int]:
    """Return the lines of the statement that a line of a source is in: Python counts only some of them."""
    found = {line}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt) and node.lineno <= line:
            inside: list[ast.stmt] = getattr(node, "body", [])
            last = inside[0].lineno - 1 if inside else node.end_lineno or node.lineno
            found |= {*range(node.lineno, last + 1)} if line <= last else set()
    return found


def report() -> Iterator[str]:
    """Yield a line for each guard, and the last for all."""
    REACH.mkdir(parents=True, exist_ok=True)
    every = coverage.Coverage(data_file=str(REACH / "all"), branch=True, config_file=False)
    every.erase()
    every.combine([str(data_of(test)) for tests in TESTS.values() for test in tests], keep=True)
    totals = [0, 0, 0, 0]
    for guard in TESTS:
        found: Any = every._analyze(str(ROOT / guard))
        n = found.numbers
        figures = [n.n_executed, n.n_statements, n.n_executed_branches, n.n_branches]
        totals = [a + b for a, b in zip(totals, figures, strict=True)]
        branches = "; ".join(f"{at} to {sorted(to)}" for at, to in found.missing_branch_arcs().items())
        yield f"{guard}: {said(figures)}; never {found.missing_formatted() or 'none'}; branches {branches or 'none'}"
    yield f"all: {said(totals)}"


def said(figures: list[int]) -> str:
    """Return shares as text."""
    lines, all_lines, branches, all_branches = figures
    ways = f"branches {100 * branches / all_branches:.1f} % of {all_branches}" if all_branches else "no branches"
    return f"lines {100 * lines / all_lines:.1f} % of {all_lines}, {ways}"


if __name__ == "__main__":
    for line in report():
        print(line, flush=True)
