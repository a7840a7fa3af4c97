"""Mutants of the Python that guards the engine, judged by the tests of the mutated file."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from mutants.choosing import ROOT, Mutant, is_program

HERE = Path(__file__).parent
INJECT = HERE / "inject"
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


@cache
def server() -> subprocess.Popen[str]:
    """Start the process that forks for each run of tests; it ends with this one."""
    command = [sys.executable, str(HERE / "forked.py")]
    # One thread: a pool of threads would not survive the fork.
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | alone, cwd=ROOT
    )


def run_tests(test: str, module: str, source: Path, *options: str) -> str:
    """Run a file of tests with a module loaded from another source; return the test that fails first, or nothing."""
    given = {
        "TIDEGATE_MUTANT": module,
        "TIDEGATE_MUTANT_FILE": str(source),
        "PYTHONPATH": str(INJECT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    arguments = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", *options, f"tests/{test}"]
    with tempfile.NamedTemporaryFile() as output:
        job = {"arguments": arguments, "environment": given, "output": output.name, "seconds": SECONDS}
        to, answers = server().stdin, server().stdout
        assert to is not None
        assert answers is not None
        print(json.dumps(job), file=to, flush=True)
        status = int(answers.readline())
        said = Path(output.name).read_text(errors="replace")
    if status == -1:
        return "time"
    if status == 0:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    return failed[1].partition("::")[2].partition("[")[0] or test if failed else f"{test}: status {status}"
