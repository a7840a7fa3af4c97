"""A process that has imported what tests need, and forks for each run of tests: so a run does not import it again.

It reads a job as a line of JSON (the arguments of pytest, the environment, a file for the output, seconds, seconds of
processor time) and answers with the exit status as a line, -1 if the time was over. tidegate is imported only after the
fork: it may be mutated. Its bytecode, and that of tests, is kept: without it a run compiled hypothesis and asserts of
tests anew, and collecting a file took 3.2 s of processor time instead of 0.1 s.
"""

import ctypes
import gc
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

PRELOADED = (
    *("pytest", "numpy", "onnx", "onnxruntime", "torch", "torch.onnx", "torch.export", "typer", "rich"),
    *("hypothesis", "hypothesis.strategies", "hypothesis.extra.numpy"),
)
PAUSE = 0.01  # seconds between two looks at a run
END_WITH_PARENT = 1  # PR_SET_PDEATHSIG
MOST_BYTES = 8 << 30  # of memory: a mutant may ask for all there is


def run(job: dict[str, Any]) -> int:
    """Run pytest in this process, which ends then."""
    os.setpgrp()  # so that what a test started ends with it; in the same session, whose priority it keeps
    ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
    output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    if job["processor"]:
        resource.setrlimit(resource.RLIMIT_CPU, (job["processor"], job["processor"]))
    os.environ.update(job["environment"])
    sys.path.insert(0, job["environment"]["PYTHONPATH"])
    importlib.import_module("sitecustomize")
    import pytest

    if "reach" not in job:
        return int(pytest.main(job["arguments"]))
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from mutants.contexts import Contexts

    contexts = Contexts(Path(job["reach"]), job["files"], job["digest"])
    status = int(pytest.main(job["arguments"], plugins=[contexts]))
    if status == 0:
        contexts.save()
    return status


def status_of(job: dict[str, Any]) -> int:
    """Fork for a job and return its exit status."""
    child = os.fork()
    if not child:
        status = 99
        try:
            status = run(job)
        except BaseException:  # noqa: BLE001  the process must not go on as a second server
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    until = time.monotonic() + job["seconds"]
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return -1 if code in (-signal.SIGXCPU, -signal.SIGKILL) else code
        time.sleep(PAUSE)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def main() -> None:
    """Answer jobs until there are no more."""
    sys.modules.pop("sitecustomize", None)
    subprocess.run([sys.executable, "-c", "import tidegate"], check=True)  # brings the engine's build up to date, once
    for finder in sys.meta_path:
        if hasattr(finder, "rebuild_flag"):
            finder.rebuild_flag = False
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # pytest collects at its end, which took 0.3 s over what is imported here
    for line in sys.stdin:
        print(status_of(json.loads(line)), flush=True)


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[2])
    main()
