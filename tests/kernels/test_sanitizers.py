"""The C tests run clean under the address and undefined-behaviour sanitizers."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from fuzzing.plans import missing, reference_plans
from kernels.building import KERNELS, build, check, engine_with, float_vectors, require, run, vectors
from kernels.test_refusals import TABLE
from tidegate.runtime import _kernels

pytestmark = pytest.mark.slow  # compiles the engine with sanitizers, under which it is slow

# Not float-divide-by-zero: a float divided by zero gives infinity or NaN, as IEEE 754 says, and the range check refuses
# it. The loops of float operators also compute on the padding after a frame, which is never read.
FLAGS = (
    "-fsanitize=address,undefined",
    "-fsanitize=float-cast-overflow",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-g1",
    "-DTIDE_RED_ZONES",  # zones between the pieces of the engine's memory
    "--param=asan-instrumentation-with-call-threshold=0",  # checks by calls: a variant compiles in a third of the time
)


STRIDE = os.environ.get("TIDEGATE_FLIP_STRIDE", "9")  # an odd stride reaches every bit of a byte


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the engine's test programs, built with both sanitizers."""
    return build(tmp_path_factory.mktemp("sanitized"), "cc", *FLAGS)


def test_c_tests_are_clean(sanitized: Path) -> None:
    assert check(sanitized, plans=100) == set(_kernels.variants())
    run(sanitized / "threads", "5")
    run(sanitized / "groups", "20", "9", *vectors())
    run(sanitized / "realtime", *float_vectors())
    run(sanitized / "turned", *vectors())
    run(sanitized / "misuse", *vectors())


# Two pieces of an arena, and as many values written from the start of the first as the argument says.
PIECES = """
#include <stdio.h>
#include <stdlib.h>
#include "src/arena.h"
int main(int argc, char **argv) {
  tide_arena count = {0}, arena = {0};
  tide_take(&count, 64), tide_take(&count, 64);
  if (posix_memalign((void **)&arena.base, 64, count.used) != 0) return argc;
  volatile float *first = tide_take(&arena, 64);
  tide_take(&arena, 64);
  for (int i = 0; i < atoi(argv[1]); i++) first[i] = 1.0f;
  return printf("%zu bytes\\n", count.used) < 0;
}
"""


def test_row_246_one_value_too_many_is_seen_in_a_build_with_the_address_sanitizer(tmp_path: Path) -> None:
    """Pieces of 64 bytes with 16 values; a program's own build has no zones, also with the sanitizer."""
    source = tmp_path / "pieces.c"
    source.write_text(PIECES)
    own = ("own", "-fsanitize=address")
    for name, *flags in (("plain",), own, ("sanitized", *own[1:], "-DTIDE_RED_ZONES")):
        run(require("cc"), *flags, f"-I{KERNELS}", f"-I{KERNELS / 'include'}", source, "-o", tmp_path / name)
    assert run(tmp_path / "plain", "17") == run(tmp_path / "own", "17") == "128 bytes\n"
    assert run(tmp_path / "sanitized", "16") == "256 bytes\n"
    ended = subprocess.run([tmp_path / "sanitized", "17"], capture_output=True, text=True, check=False)
    assert ended.returncode
    assert "use-after-poison" in ended.stderr


def test_refusals_snapshots_and_ends_leave_no_trace_under_the_sanitizers(sanitized: Path, tmp_path: Path) -> None:
    """Chunks that leave the range are rolled back, also with frames held back; finished streams are saved."""
    said = run(sanitized / "undoing", "80", *stored(tmp_path), *vectors())
    plans, undone = map(int, re.findall(r"\d+", said))
    assert plans == len(reference_plans()) + len(vectors())
    assert undone > plans


def stored(folder: Path) -> list[Path]:
    """Write the reference plans into a folder; return their paths without the ending."""
    for name, plan in reference_plans().items():
        (folder / f"{name}.tide").write_bytes(plan)
    return [folder / name for name in reference_plans()]


def test_conditions_refuse_alone_under_the_sanitizers(sanitized: Path, tmp_path: Path) -> None:
    assert run(sanitized / "refusals", *stored(tmp_path)) == TABLE.read_text()


def test_row_13_damaged_plans_are_refused_by_name_or_run_within_bounds(sanitized: Path, tmp_path: Path) -> None:
    """Every truncation and every STRIDE-th flipped bit (`make damage`: every bit), also with a repaired hash."""
    assert not missing()
    said = run(sanitized / "damage", STRIDE, *stored(tmp_path))
    print(said)
    flips, refused, ran = map(int, re.findall(r"\d+", said)[1:])
    sizes = map(len, reference_plans().values())
    assert flips == refused + ran == sum(-(-8 * size // int(STRIDE)) for size in sizes)
    assert refused > flips // 20
    assert ran > flips // 2


def test_row_34_one_model_in_many_threads_is_clean_under_the_thread_sanitizer(tmp_path: Path) -> None:
    programs = build(
        tmp_path / "build", "cc", "-fsanitize=thread", "-g1", source=engine_with(_kernels.variants()[:1], tmp_path)
    )
    assert run(programs / "threads", "30") == "30 models, each in 8 threads of 4 streams\n"
