"""What the host does to floating point: its compiler's options, and the modes of its processor."""

import sys
from pathlib import Path

import pytest
from kernels.building import KERNELS, VECTORS, require, run, vectors

ENGINE = sorted(path for floor in ("src", "operators", "variants") for path in (KERNELS / floor).glob("*.c"))
COMPUTING = [path for path in ENGINE if path.parent.name != "src"]

MODES = """
#include <fenv.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
void flush(int on) { _mm_setcsr(on ? _mm_getcsr() | 0x8040 : _mm_getcsr() & ~0x8040u); }
#elif defined(__aarch64__)
void flush(int on) { __asm__ volatile("msr fpcr, %0" : : "r"(on ? 1ul << 24 : 0ul)); }
#endif
int round_to(int mode) {
  const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  return fesetround(modes[mode]);
}
"""


def preprocessed(path: Path, *flags: str) -> str:
    """Return what the compiler says about a file of the engine."""
    script = '"$@" -E -o /dev/null 2>&1; true'
    return run("sh", "-c", script, "sh", require("cc"), "-std=gnu11", *flags, "-I", KERNELS / "include", path)


@pytest.mark.parametrize("flags", [["-ffast-math"], ["-Ofast"], ["-O2", "-ffast-math"], ["-ffinite-math-only"]])
def test_row_11_fast_math_of_another_build_is_an_error_that_names_it(flags: list[str]) -> None:
    for path in COMPUTING:
        assert "-ffast-math, the engine gives other bits; compile it with -fno-fast-math" in preprocessed(path, *flags)
        assert not preprocessed(path, *flags, "-fno-fast-math", "-fno-finite-math-only")


@pytest.mark.slow
def test_project_with_fast_math_has_the_same_bits(tmp_path: Path) -> None:
    """The engine's own options come after those of a project that embeds it."""
    options = ["-DCMAKE_C_FLAGS=-ffast-math", "-DTIDEGATE_OPTIMIZE=-O1", "-DBUILD_TESTING=OFF"]
    run(require("cmake"), "-S", KERNELS, "-B", tmp_path, *options)
    run("cmake", "--build", tmp_path, "--target", "tidegate", "--parallel", "2")
    sources = [KERNELS / "tests" / f"{name}.c" for name in ("replay", "running", "random_plan")]
    options = ["-std=gnu11", "-O1", "-I", str(KERNELS / "include"), "-o", str(tmp_path / "replay")]
    run(require("cc"), *sources, tmp_path / "libtidegate.a", *options, "-lm")
    assert "scalar" in run(tmp_path / "replay", *vectors())


@pytest.fixture
def modes(tmp_path: Path) -> Path:
    """A library that sets the modes of this thread's processor."""
    (tmp_path / "modes.c").write_text(MODES)
    run(require("cc"), "-O1", "-shared", "-fPIC", tmp_path / "modes.c", "-lm", "-o", tmp_path / "modes.so")
    return tmp_path / "modes.so"


def test_row_4_flush_to_zero_of_a_host_changes_no_bit(modes: Path) -> None:
    code = """
import ctypes, sys
import numpy as np
import tidegate as tg
flush = ctypes.CDLL(sys.argv[1]).flush
frames = np.random.default_rng(0).normal(size=(60, 20)).astype(np.float32)
for loudness in (1, 1e-20, 1e-38, 1e-42):
    answers = []
    for on in (0, 1):
        flush(on)
        stream = tg.load(sys.argv[2]).stream()
        answers.append(stream.push(frames * np.float32(loudness) if loudness > 1e-40 else frames * 0 + 1e-42))
        answers.append(stream.snapshot())
    flush(0)
    assert np.array_equal(answers[0], answers[2]) and answers[1] == answers[3], loudness
"""
    run(sys.executable, "-c", code, modes, VECTORS / "lstm_16_bits.tide")


def test_row_11_thread_that_does_not_round_to_nearest_is_refused_by_name(modes: Path) -> None:
    """Loading, a push, a push of a group and an end; afterwards each goes on with the same bits."""
    code = """
import ctypes, sys
import numpy as np
import tidegate as tg
round_to = ctypes.CDLL(sys.argv[1]).round_to
frames = np.random.default_rng(0).normal(size=(2, 9, 20)).astype(np.float32)
model = tg.load(sys.argv[2])
stream, group, plain = model.stream(), model.streams(2), model.stream()
calls = [lambda: tg.load(sys.argv[2]), lambda: stream.push(frames[0]), stream.finish, lambda: group.push(frames)]
for mode in (1, 2, 3):
    for call in calls:
        assert round_to(mode) == 0
        try:
            call()
        except (tg.BackendError, tg.RefusedRowsError) as error:
            said = str(error)
        finally:
            round_to(0)
        assert "does not round to nearest" in said and "fesetround(FE_TONEAREST)" in said, said
    assert (stream.refused, stream.frames, group.refused(0)) == (0, plain.frames, 0)
    wanted = plain.push(frames[0])
    assert np.array_equal(stream.push(frames[0]), wanted) and np.array_equal(group.push(frames)[0], wanted)
"""
    run(sys.executable, "-c", code, modes, VECTORS / "lstm_16_bits.tide")
