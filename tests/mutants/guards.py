"""Mutants of the Python that guards the engine, judged by the tests of the mutated file."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mutants.choosing import ROOT, Mutant, is_program

INJECT = Path(__file__).parent / "inject"
SECONDS = 300  # a mutant that takes longer has hung
# The tests that are meant to kill the mutants of a file, the quickest first.
TESTS = {
    "runtime/graph/gate.py": ("runtime/graph/test_gate.py", "api/test_hostile.py"),
    "runtime/graph/structure.py": ("runtime/graph/test_structure.py", "runtime/graph/test_gate.py"),
    "runtime/contract.py": ("runtime/test_contract.py", "runtime/test_load.py"),
    "runtime/plan/writer.py": ("runtime/plan/test_writer.py", "runtime/test_engine.py"),
    "runtime/plan/text.py": ("runtime/plan/test_text.py", "runtime/plan/test_writer.py"),
    "runtime/backends/onnxruntime_snapshot.py": (
        "runtime/backends/test_onnxruntime_snapshot.py",
        "runtime/test_snapshot.py",
    ),
    "runtime/files.py": ("runtime/test_files.py",),
    "runtime/device/file_list.py": ("runtime/device/test_file_list.py", "runtime/device/test_folder.py"),
    "export/proof/comparison.py": ("export/proof/test_comparison.py", "export/proof/test_proof.py"),
    "export/proof/proof.py": ("export/proof/test_proof.py", "export/test_lifter.py"),
    "export/states/recurrent_states.py": ("export/states/test_recurrent_states.py", "export/test_lifter.py"),
    "quant/rounding/compensated.py": ("quant/rounding/test_compensated.py", "quant/test_calibration.py"),
    "quant/rounding/choice.py": ("quant/rounding/test_choice.py", "quant/test_precisions.py"),
    "quant/rounding/budget.py": ("quant/rounding/test_budget.py", "quant/test_calibration.py"),
}


class Guards:
    """Judge mutants of Python."""

    language = "python"
    files = tuple(TESTS)

    def __init__(self) -> None:
        """No file of tests was run without a mutant yet."""
        self.sound: set[str] = set()

    def judge(self, mutant: Mutant) -> str | None:
        """Return what killed a mutant: the name of a test, or `time`. Nothing: it lives. None: it is no program.

        Raises:
            SystemExit: A test fails without a mutant.
        """
        if not is_program(mutant):
            return None
        with written(mutant) as (module, source):
            for test in TESTS[mutant.file]:
                if test not in self.sound and (failing := run_tests(test, "", source)):
                    sys.exit(f"{failing} fails without a mutant")
                self.sound.add(test)
                if killer := run_tests(test, module, source):
                    return killer
        return ""


@contextmanager
def written(mutant: Mutant) -> Iterator[tuple[str, Path]]:
    """Write a mutant to a folder of its own; give the name of its module, and its file."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / Path(mutant.file).name
        source.write_text(mutant.text())
        yield "tidegate." + mutant.file.removesuffix(".py").replace("/", "."), source


def run_tests(test: str, module: str, source: Path, *options: str) -> str:
    """Run a file of tests with a module loaded from another source; return the test that fails first, or nothing."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        *options,
        f"tests/{test}",
    ]
    given = {
        "TIDEGATE_MUTANT": module,
        "TIDEGATE_MUTANT_FILE": str(source),
        "PYTHONPATH": str(INJECT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # In a group of its own, so that what a test started ends with it.
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said = process.communicate(timeout=SECONDS)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return "time"
    if process.returncode == 0:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    return failed[1].partition("::")[2].partition("[")[0] or test if failed else f"{test}: status {process.returncode}"
