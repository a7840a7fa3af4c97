"""Cases in a process of their own: one that hangs, ends the process or takes all memory is a finding like others."""

import gc
import mmap
import os
import resource
import select
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from fuzzing.doors import DOORS, case, entered
from numpy.typing import NDArray

BUSY = 60.0  # seconds of the processor after which a case hangs
SILENT = 1200.0  # seconds by the wall; on a busy machine a process waits long for its turn
MORE_BYTES = 2**30  # that the process may ask for besides those that it has
COUNTED = ("cases", "refused", "taken")


@dataclass
class Tried:
    """What cases have come to.

    Attributes:
        cases: How many there were.
        refused: How many were refused.
        taken: How many were taken.
        findings: The others, by their numbers.
        first: The number of the first one.
    """

    cases: int = 0
    refused: int = 0
    taken: int = 0
    findings: dict[int, str] = field(default_factory=dict)
    first: int = 0

    def add(self, cases: int, refused: int, taken: int, findings: Mapping[int, str]) -> None:
        """Count more."""
        self.cases, self.refused, self.taken = self.cases + cases, self.refused + refused, self.taken + taken
        self.findings |= findings


def limit_memory() -> None:
    """Let this process have no more than so much more memory; to be called in a process that ends with its cases."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


@cache
def warm_up(door: str) -> None:
    """Make what a door is started from, and let it import what it imports late: once, not in each process."""
    for start in DOORS[door].starts():
        entered(door, start)


def tried(door: str, numbers: range) -> Tried:
    """Try cases by their numbers."""
    warm_up(door)
    done = Tried(first=numbers.start)
    while done.cases < len(numbers):
        _try_apart(door, numbers[done.cases :], done)
    return done


def _try_apart(door: str, numbers: range, done: Tried) -> None:
    """Try cases in another process, up to the first one that it does not come back from."""
    shared = np.frombuffer(mmap.mmap(-1, 8 * len(COUNTED)), np.int64)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with suppress(BaseException):
            _try(door, numbers, shared, writing)
        os._exit(0)
    os.close(writing)
    text, hangs = _heard(reading, shared)
    if hangs:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    cases, refused, taken = map(int, shared)
    findings = {int(number): said for number, said in (line.split(" ", 1) for line in text.splitlines())}
    if cases < len(numbers):
        hangs |= status == -signal.SIGPROF
        findings[numbers[cases]] = "hangs" if hangs else f"ended the process, status {status}"
        cases += 1
    done.add(cases, refused, taken, findings)


def _try(door: str, numbers: range, shared: NDArray[np.int64], writing: int) -> None:
    """Try cases in this process; write the findings into a pipe."""
    limit_memory()
    gc.freeze()
    for number in numbers:
        signal.setitimer(signal.ITIMER_PROF, BUSY)  # its signal ends this process
        said = entered(door, case(door, number))
        if said in COUNTED:
            shared[COUNTED.index(said)] += 1
        else:
            os.write(writing, f"{number} {said}".replace("\n", " ").encode() + b"\n")
        shared[0] += 1


def _heard(reading: int, shared: NDArray[np.int64]) -> tuple[str, bool]:
    """Return what a process wrote into a pipe until its end, and whether it hangs instead of ending."""
    parts: list[bytes] = []
    before = -1
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while True:
            if not select.select([pipe], [], [], SILENT)[0]:
                if shared[0] == before:
                    return b"".join(parts).decode(), True
                before = int(shared[0])
            elif part := pipe.read(2**16):
                parts.append(part)
            else:
                return b"".join(parts).decode(), False
