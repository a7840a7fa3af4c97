"""Limits of the machine in benchmarks/limits.c: positive for every variant, with the planes of the engine."""

import json
import re
from pathlib import Path

import pytest
from kernels.building import KERNELS, ROOT, VECTORS, require, run
from kernels.test_variants import LISTED
from tidegate.runtime import _kernels

BENCHMARKS = ROOT / "benchmarks"
UNTIMED = {"helium", "arm_dsp", "wasm_simd128"}  # without an operating system, so without a clock to time by


def build_with(compiler: str, engine: Path, folder: Path, *flags: str) -> Path:
    """Build the timing program with an engine that is there already."""
    sources = (BENCHMARKS / "engine.c", BENCHMARKS / "limits.c", engine.parent / "libtidegate.a")
    options = ("-std=gnu11", "-O3", "-Wall", "-Wextra", "-Werror", f"-I{KERNELS / 'include'}", *flags)
    run(require(compiler), *options, *sources, "-lm", "-o", folder / "engine")
    return folder / "engine"


def check(program: Path, variant: str, *emulator: str) -> None:
    """Every figure of a stack and of a group is positive; its planes are those of the variant's file."""
    timed: tuple[str | Path, ...] = (*emulator, program, VECTORS / "stack.tide", variant, "2", "20")
    one, group = json.loads(run(*timed)), json.loads(run(*timed, "3"))
    for figures in (one, group):
        assert all(value > 0 for value in figures.values() if not isinstance(value, str)), figures
        assert figures["planes"] == planes(variant)
        assert figures["peak"]
    assert {"push_ns", "silence_ns", "read_ns", "million_macs_ns"} <= set(one)
    assert {"group_ns", "alone_ns", "million_macs_ns"} <= set(group)


def planes(variant: str) -> int:
    """Return the planes that a variant's codes of 16 bits take."""
    found = re.search(r"^#define PLANES (\d)$", with_includes(KERNELS / "variants" / f"{variant}.c"), re.MULTILINE)
    return int(found[1]) if found else 1  # rows in place read codes of int16


def with_includes(path: Path) -> str:
    """Return the text of a file, and of those of VNNI that it includes."""
    text = path.read_text()
    near = (path.with_name(name) for name in re.findall(r'#include "(vnni\w*\.inc)"', text))
    return text + "".join(with_includes(one) for one in near if one.is_file())


@pytest.fixture(scope="module")
def program(native: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The timing program of this processor."""
    return build_with("cc", native, tmp_path_factory.mktemp("timing"))


def test_every_variant_has_limits() -> None:
    found = re.findall(r'^    \{"(\w+)"', (BENCHMARKS / "limits.c").read_text(), re.MULTILINE)
    assert sorted(found) == sorted(set(LISTED) - UNTIMED)


@pytest.mark.slow  # compiles the engine
@pytest.mark.parametrize("variant", _kernels.variants())
def test_limits_of_each_variant_of_this_processor(program: Path, variant: str) -> None:
    check(program, variant)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["neon_dotprod", "neon", "scalar"])
def test_limits_on_aarch64(aarch64: Path, tmp_path: Path, variant: str) -> None:
    program = build_with("aarch64-linux-gnu-gcc", aarch64, tmp_path, "-static")
    check(program, variant, require("qemu-aarch64"), "-cpu", "max")
