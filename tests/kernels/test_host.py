"""What the host does to floating point: its compiler's options."""

from pathlib import Path

import pytest
from kernels.building import KERNELS, build, check, require, run

ENGINE = sorted(path for floor in ("src", "operators", "variants") for path in (KERNELS / floor).glob("*.c"))
COMPUTING = [path for path in ENGINE if path.parent.name != "src"]


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
    assert "scalar" in check(build(tmp_path, "cc", "-ffast-math", "-Wno-error"), plans=60)
