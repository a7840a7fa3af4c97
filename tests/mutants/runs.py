"""Runs of tests in forks of a process that has imported what they need, with a module loaded from another source."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from mutants.choosing import ROOT

HERE = Path(__file__).parent
INJECT = HERE / "inject"
BYTECODE = ROOT / "build" / "mutants" / "bytecode"
SECONDS = 300  # a run that takes longer has hung
# What tests on this machine need not look for, plugins of pytest, takes as long as a quick test.
ARGUMENTS = ("-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")


@cache
def server() -> subprocess.Popen[str]:
    """Start the process that forks for each run of tests; it ends with this one."""
    command = [sys.executable, str(HERE / "forked.py")]
    # One thread: a pool of threads would not survive the fork.
    given = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": str(BYTECODE)}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | given
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )


def run_tests(
    test: str | Sequence[str],
    module: str,
    source: Path,
    *options: str,
    processor: int = 0,
    reach: Path | None = None,
    files: Sequence[str] = (),
    digest: str = "",
) -> str:
    """Run tests with a module loaded from another source; return the test that fails first, or nothing.

    Args:
        test: A file of tests, from tests/; or names of tests, which pytest runs in their order.
        module: Name of the module; none if it is empty.
        source: Where it is loaded from.
        options: More arguments of pytest.
        processor: Seconds of processor time after which a run has hung; 0: only the time counts.
        reach: The file for what coverage counts.
        files: The sources whose lines it counts.
        digest: Of what it depends on.
    """
    wanted = [f"tests/{test}"] if isinstance(test, str) else list(test)
    given = {
        "TIDEGATE_MUTANT": module,
        "TIDEGATE_MUTANT_FILE": str(source),
        "PYTHONPATH": str(INJECT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "TIDEGATE_CASES": "20",
    }
    arguments = [*ARGUMENTS, *options, *wanted]
    with tempfile.NamedTemporaryFile() as output:
        job = {"arguments": arguments, "environment": given, "output": output.name, "seconds": SECONDS}
        job["processor"] = processor
        if reach:
            job |= {"reach": str(reach), "files": list(files), "digest": digest, "seconds": 10 * SECONDS}
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
    return failed[1].partition("::")[2].partition("[")[0] or failed[1] if failed else f"{wanted[0]}: status {status}"
