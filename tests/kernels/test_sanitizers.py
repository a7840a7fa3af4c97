"""The C tests run clean under the address and undefined-behaviour sanitizers."""

from pathlib import Path

from kernels.building import build, check, float_vectors, run
from tidegate.runtime import _kernels

FLAGS = (
    "-fsanitize=address,undefined",
    "-fsanitize=float-cast-overflow,float-divide-by-zero",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-g",
)


def test_c_tests_are_clean(tmp_path: Path) -> None:
    programs = build(tmp_path, "cc", *FLAGS)
    assert check(programs, plans=200) == set(_kernels.variants())
    run(programs / "threads", "5")
    run(programs / "realtime", *float_vectors())


def test_row_34_one_model_in_many_threads_is_clean_under_the_thread_sanitizer(tmp_path: Path) -> None:
    programs = build(tmp_path, "cc", "-fsanitize=thread", "-g")
    assert run(programs / "threads", "30") == "30 models, each in 8 threads of 4 streams\n"
