"""The process that runs one variant of one peer. It answers each request, a line of JSON, with a line of JSON.

    {"do": "prepare", "job": FILE, "peer": NAME, "precision": ..., "how": ...}   make the files of a job
    {"do": "load", "job": FILE, "peer": NAME, "precision": ..., "how": ...}      load a job, time the first answer
    {"do": "errors"}                                                             compare with the exact answers
    {"do": "footprint"}                                                          count the installed bytes
    {"do": "time", "count": 1000, "period": 1e7, "stall": 0, "cold": true}       time a loop, in nanoseconds

In `load`, times from the start of the process are null for a second job. In `time`, the period 0 means a closed loop.
An answer is `{"ok": ...}`, `{"cannot": REASON}` or `{"failed": TEXT}`. Output of libraries goes to standard error.
"""

import base64
import importlib
import json
import os
import re
import sys
import time
from collections.abc import Callable
from importlib import metadata
from itertools import cycle
from pathlib import Path
from typing import Any

_STARTED = time.perf_counter()

import numpy as np  # noqa: E402  after _STARTED: every peer's first answer waits for this import

from .job import EXACT, INEXACT, CannotRunError, Job, Step, Variant  # noqa: E402
from .loops import EVICTIONS, Course, Timed, run  # noqa: E402

CACHE_BYTES = 64 << 20  # memory that is read and written to empty the caches: twice most last-level caches
Fields = dict[str, Any]


class Worker:
    """One loaded variant and its job."""

    def __init__(self) -> None:
        self._step: Step | None = None
        self._chunks: list[Any] = []
        self._job: Job | None = None
        self._filler: Any = None
        self._owners: list[str] = []
        self._first: Any = None

    def prepare(self, fields: Fields) -> Fields:
        """Make the files of the variant."""
        adapter, job, variant = _named(fields)
        make = getattr(adapter, "prepare", None)
        if make is not None:
            make(job, variant)
        return {}

    def load(self, fields: Fields) -> Fields:
        """Load the variant and time its first answer; times count from the start of the process."""
        fresh = self._job is None
        adapter, job, variant = _named(fields)
        self._job, self._chunks = job, job.chunks()
        for package in adapter.PACKAGES:
            importlib.import_module(package)
        imported = _since_start()
        self._step = adapter.load(job, variant)
        ready = _since_start()
        start = time.perf_counter()
        answer = self._step(self._chunks[0])
        first = (time.perf_counter() - start) * 1e6
        own = {"import_ms": imported, "first_answer_ms": _since_start(), **_memory()}
        self._first = _values(answer)
        if not self._owners:  # after the timing: a search through the installed packages takes up to 90 ms
            self._owners = _owners(adapter.PACKAGES) + list(getattr(adapter, "DISTRIBUTIONS", ()))
        return {
            **(own if fresh else dict.fromkeys(own)),
            "load_ms": ready - imported,
            "first_step_us": first,
            "versions": {owner: metadata.version(owner) for owner in self._owners},
            "file_bytes": _bytes_of(adapter, job, variant),
        }

    def errors(self, _: Fields) -> Fields:
        """Stream the rest of the signal after the first chunk, and return the differences from the exact answers."""
        job, step = self._loaded()
        if self._first.ndim == 0:
            return {"reason": "it answers nothing"}
        if not job.made(EXACT).exists():
            return {"reason": job.made(INEXACT).read_text()}
        exact = job.exact()
        rows = [self._first, *(_values(step(chunk)) for chunk in self._chunks[1:])]
        answers = np.concatenate([row.reshape(-1, exact.shape[1]) for row in rows])
        wanted = exact[: len(answers)]
        difference = answers - wanted
        return {
            "error_rms": float(np.sqrt(np.mean(difference**2))),
            "error_max": float(np.abs(difference).max()),
            "answer_rms": float(np.sqrt(np.mean(wanted**2))),
        }

    def footprint(self, _: Fields) -> Fields:
        """Return the disk space of the peer's packages and of the packages that they need."""
        return {"installed_bytes": _installed_bytes(self._owners)}

    def time(self, fields: Fields) -> Fields:
        """Time a loop and return its measurements."""
        course = Course(fields["period"], fields["stall"], self._evict if fields["cold"] else None)
        return _encoded(run(self._loaded()[1], self._chunks, fields["count"], course))

    def _loaded(self) -> tuple[Job, Step]:
        if self._job is None or self._step is None:
            raise CannotRunError("nothing is loaded")
        return self._job, self._step

    def _evict(self) -> None:
        """Read and write the next slice of a memory larger than the caches, as another program would."""
        if self._filler is None:
            self._filler = cycle(np.zeros((EVICTIONS, CACHE_BYTES // EVICTIONS // 8)))
        row = next(self._filler)
        row += 1.0


def _values(answer: Any) -> Any:  # noqa: ANN401  arrays of any library; None if there is no answer yet
    """Return the first output of an answer in float64; tidegate gives several by name."""
    return np.array(next(iter(answer.values())) if isinstance(answer, dict) else answer, np.float64)


def _encoded(timed: Timed) -> Fields:
    return {
        "latencies": base64.b64encode(timed.latencies.tobytes()).decode(),
        "services": base64.b64encode(timed.services.tobytes()).decode(),
        "seconds": timed.seconds,
        "usage": timed.usage,
    }


def _named(fields: Fields) -> tuple[Any, Job, Variant]:
    adapter = importlib.import_module(f".{fields['peer']}", __package__)
    return adapter, Job.read(Path(fields["job"])), Variant(fields["precision"], fields["how"])


def _since_start() -> float:
    """Return the milliseconds since this module began; the interpreter's start before it is not the peer's cost."""
    return (time.perf_counter() - _STARTED) * 1e3


def _memory() -> Fields:
    """Return the current and the peak resident memory in bytes; getrusage would include the parent's memory."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found = {
        line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))
    }
    return {"peak_rss_bytes": found.get("VmHWM"), "rss_bytes": found.get("VmRSS")}


def _bytes_of(adapter: Any, job: Job, variant: Variant) -> int | None:  # noqa: ANN401  a module
    files = getattr(adapter, "files", None)
    return None if files is None else sum(path.stat().st_size for path in files(job, variant))


def _owners(packages: tuple[str, ...]) -> list[str]:
    """Return the distributions that contain some modules."""
    owners = metadata.packages_distributions()
    return [owner for package in packages for owner in owners.get(package.partition(".")[0], ())[:1]]


def _installed_bytes(owners: list[str]) -> int:
    """Return the bytes of the files of distributions and of all that they require, without extras."""
    waiting, seen, total = list(owners), set(), 0
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # a requirement of another operating system
            continue
        total += sum(file.size or 0 for file in found.files or ()) + _redirected_bytes(name)
        needed = (one for one in found.requires or () if "extra ==" not in one)
        waiting += [re.split(r"[^A-Za-z0-9._-]", one.strip())[0] for one in needed]
    return total


def _redirected_bytes(name: str) -> int:
    """Return the bytes of the modules that an editable build of scikit-build-core loads from the checkout."""
    known: dict[str, str] = {}
    for finder in sys.meta_path:
        known |= getattr(finder, "known_source_files", {}) | getattr(finder, "known_wheel_files", {})
    files = [Path(path) for module, path in known.items() if module.partition(".")[0] == name]
    return sum(file.stat().st_size for file in files if file.exists())  # a file may have moved since the build


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # text that libraries print must not mix with answers
    worker = Worker()
    for line in sys.stdin:
        fields = json.loads(line)
        act: Callable[[Fields], Fields] = getattr(worker, fields["do"])
        try:
            answer: Fields = {"ok": act(fields)}
        except CannotRunError as error:
            answer = {"cannot": str(error)}
        except Exception as error:  # noqa: BLE001  a peer may raise anything; its cell shows what
            answer = {"failed": f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
