"""The C tests run clean under the address and undefined-behaviour sanitizers."""

import os
import re
from pathlib import Path

import pytest
from fuzzing.plans import missing, reference_plans
from kernels.building import build, check, float_vectors, run, vectors
from tidegate.runtime import _kernels

pytestmark = pytest.mark.slow  # compiles the engine with sanitizers, under which it is slow

# Not float-divide-by-zero: a float divided by zero gives infinity or NaN, as IEEE 754 says, and the range check refuses
# it. The loops of float operators also compute on the padding after a frame, which is never read.
FLAGS = (
    "-fsanitize=address,undefined",
    "-fsanitize=float-cast-overflow",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-g",
)


STRIDE = os.environ.get("TIDEGATE_FLIP_STRIDE", "9")  # an odd stride reaches every bit of a byte


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the engine's test programs, built with both sanitizers."""
    return build(tmp_path_factory.mktemp("sanitized"), "cc", *FLAGS)


def test_c_tests_are_clean(sanitized: Path) -> None:
    assert check(sanitized, plans=200) == set(_kernels.variants())
    run(sanitized / "threads", "5")
    run(sanitized / "groups", "50", "9", *vectors())
    run(sanitized / "realtime", *float_vectors())


def test_row_13_damaged_plans_are_refused_by_name_or_run_within_bounds(sanitized: Path, tmp_path: Path) -> None:
    """Every truncation and every STRIDE-th flipped bit (`make damage`: every bit), also with a repaired hash."""
    plans = reference_plans()
    assert not missing()
    for name, plan in plans.items():
        (tmp_path / f"{name}.tide").write_bytes(plan)
    said = run(sanitized / "damage", STRIDE, *(tmp_path / name for name in plans))
    print(said)
    flips, refused, ran = map(int, re.findall(r"\d+", said)[1:])
    assert flips == refused + ran == sum(-(-8 * len(plan) // int(STRIDE)) for plan in plans.values())
    assert refused > flips // 20
    assert ran > flips // 2


def test_row_34_one_model_in_many_threads_is_clean_under_the_thread_sanitizer(tmp_path: Path) -> None:
    programs = build(tmp_path, "cc", "-fsanitize=thread", "-g")
    assert run(programs / "threads", "30") == "30 models, each in 8 threads of 4 streams\n"
