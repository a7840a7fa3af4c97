"""The C tests run clean under the address and undefined-behaviour sanitizers."""

from pathlib import Path

from kernels.building import build, check
from tidegate.runtime import _kernels

FLAGS = (
    "-fsanitize=address,undefined",
    "-fsanitize=float-cast-overflow,float-divide-by-zero",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-g",
)


def test_c_tests_are_clean(tmp_path: Path) -> None:
    assert check(build(tmp_path, "cc", *FLAGS), plans=200) == set(_kernels.variants())
