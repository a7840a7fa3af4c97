"""Locked memory, priority, a frozen collector: asked for, and told if refused."""

import gc
import subprocess
import sys

import pytest
from tidegate.runtime.live import realtime
from tools.live import small_model

CODE = """
import gc, resource, sys
sys.path.insert(0, "tests")
import numpy as np, tidegate
from tools.live import Hand, frames, small_model
model, hand, notes = small_model(), Hand(), []
note = lambda kind, _: notes.append(kind)
running = tidegate.live(model, frames(5000), pace=True, realtime=True, chunk=4, clock=hand.clock(), note=note)
next(running)
before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
count = sum(1 for _ in running)
after = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
locked = next(line for line in open("/proc/self/status") if line.startswith("VmLck:")).split()[1]
print(count, after - before, gc.get_freeze_count() > 1000, int(locked) > 1000, notes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is locked on Linux")
def test_row_39_a_stream_in_locked_memory_has_no_major_page_fault() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)

    count, faults, frozen, locked, notes = done.stdout.strip().split(" ", 4)
    assert (count, faults, frozen) == ("1249", "0", "True")
    assert locked == "True" or "memory is not locked" in notes  # a container may refuse it, and then says so


def test_what_the_system_refuses_is_a_note_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime, "_lock", lambda: "Cannot allocate memory")
    monkeypatch.setattr(realtime, "_hurry", lambda: "Operation not permitted")
    monkeypatch.setattr(gc, "freeze", lambda: None)
    notes: list[str] = []

    realtime.prepare(small_model(), 3, lambda _, text: notes.append(text))

    assert notes == [
        "memory is not locked (Cannot allocate memory); allow it: ulimit -l unlimited",
        "priority is not raised (Operation not permitted); allow it: ulimit -r 10",
    ]
