"""After init a push uses nothing of the system: no memory, no lock, no system call, no setting of the process."""

import sys
from pathlib import Path

import pytest
from kernels.building import VECTORS, float_vectors, require, run

# What the compiler itself calls to copy memory, what says what an Arm processor has, and a table that the linker makes.
ALLOWED = {"memcpy", "memmove", "memset", "memcmp", "getauxval", "_GLOBAL_OFFSET_TABLE_"}

CONTROL = """
#if defined(__x86_64__)
#include <xmmintrin.h>
unsigned long control(void) { return _mm_getcsr() & ~0x3fu; } /* without the exception flags */
#else
unsigned long control(void) { unsigned long v; __asm__ volatile("mrs %0, fpcr" : "=r"(v)); return v; }
#endif
"""


def symbols(nm: str, library: Path) -> tuple[set[str], set[str]]:
    """Return the names that a library defines and the names that it needs from elsewhere."""
    lines = [line.split() for line in run(require(nm), library).splitlines() if line and not line.endswith(":")]
    defined = {words[-1] for words in lines if len(words) == 3 and words[1].isupper()}
    return defined, {words[1] for words in lines if words[0] == "U"} - defined


@pytest.mark.slow
def test_row_36_library_needs_no_memory_no_lock_and_no_system_call(native: Path) -> None:
    defined, wanted = symbols("nm", native.parent / "libtidegate.a")
    assert wanted <= ALLOWED
    assert {"tide_push", "tide_group_push", "tide_snapshot"} <= defined


@pytest.mark.slow
def test_row_36_library_for_aarch64_needs_none_either(aarch64: Path) -> None:
    assert symbols("aarch64-linux-gnu-nm", aarch64.parent / "libtidegate.a")[1] <= ALLOWED


@pytest.mark.slow
def test_every_call_runs_in_a_process_that_a_system_call_would_end(native: Path) -> None:
    """In seccomp's strict mode Linux ends the process at any system call except read, write and exit."""
    assert run(native / "realtime", *float_vectors()) == f"{len(float_vectors())} plans without a system call\n"


def test_row_4_no_import_and_no_call_changes_the_floating_point_control_register(tmp_path: Path) -> None:
    """Python reads the register around import, load, push, snapshot and restore; for C see tests/realtime.c."""
    (tmp_path / "control.c").write_text(CONTROL)
    run(require("cc"), "-O1", "-shared", "-fPIC", tmp_path / "control.c", "-o", tmp_path / "control.so")
    code = """
import ctypes, sys
import numpy as np
control = ctypes.CDLL(sys.argv[1]).control
control.restype = ctypes.c_ulong
seen = [control()]
import tidegate as tg
import tidegate.runtime.backends.native
seen.append(control())
stream = tg.load(sys.argv[2]).stream()
seen.append(control())
stream.push(np.full((100, 20), 1e-30, np.float32))
seen.append(control())
stream.restore(stream.fork().snapshot())
seen.append(control())
print(len(seen), len(set(seen)))
"""
    seen = run(sys.executable, "-c", code, tmp_path / "control.so", VECTORS / "lstm_16_bits.tide")
    assert seen == "5 1\n"


@pytest.mark.skipif("sys.platform != 'linux'", reason="reads /proc")
def test_row_36_models_and_streams_give_all_their_memory_back() -> None:
    code = """
import sys
import numpy as np
from tidegate.runtime.backends.native import NativeModel
plan, frames = open(sys.argv[1], 'rb').read(), np.ones((3, 13), np.float32)
def pages():
    return int(open('/proc/self/statm').read().split()[1])
def round():
    model = NativeModel(plan)
    for _ in range(4):
        stream = model.stream()
        stream.push(frames)
        stream.fork().restore(stream.snapshot())
for _ in range(1500):  # until the allocator's lists stop growing: at 800 KB, after 1000 rounds
    round()
before = pages()
for _ in range(1000):
    round()
print(pages() - before)
"""
    more = int(run(sys.executable, "-c", code, VECTORS / "stack.tide"))
    print(f"{more} more resident pages after 1000 models of 8 streams")
    assert more <= 16
