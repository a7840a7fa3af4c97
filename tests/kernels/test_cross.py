"""The engine on other processors, under emulation: every variant gives the same bits there."""

import platform
import re
import shutil
from pathlib import Path

import pytest
from kernels.building import KERNELS, build, check, require, run
from tidegate.runtime import _kernels

pytestmark = pytest.mark.slow  # compiles the engine for many processors and runs it under emulators

EMULATED_PLANS = 100
is_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="needs an x86-64 processor")


def test_row_9_variants_of_this_processor_equal_plain_c(native: Path) -> None:
    assert check(native) == set(_kernels.variants())


def test_ctest_runs_the_same_programs(native: Path) -> None:
    """A build of the engine without Python includes the tests. The longest five run in tests of their own."""
    longest = "^(check_variants|replay|groups|groups_of_vectors|realtime)$"
    said = run(require("ctest"), "--test-dir", native.parent, "--exclude-regex", longest)
    assert re.search(r"100% tests passed.* out of 5\n", said)
    assert "Total Tests: 10" in run(require("ctest"), "--test-dir", native.parent, "--show-only")


@pytest.mark.parametrize(
    ("cpu", "variants"),
    [
        ("cortex-a53", {"neon", "scalar"}),
        ("neoverse-n1", {"neon_dotprod", "neon", "scalar"}),
        ("max", {"neon_dotprod", "neon", "scalar"}),
    ],
)
def test_aarch64(aarch64: Path, cpu: str, variants: set[str]) -> None:
    assert check(aarch64, require("qemu-aarch64"), "-cpu", cpu, plans=EMULATED_PLANS) == variants


@pytest.mark.parametrize(
    ("compiler", "flags", "emulator", "variants"),
    [
        ("arm-linux-gnueabihf-gcc", ("-mcpu=cortex-a7", "-mfpu=neon"), "qemu-arm", {"neon32", "scalar"}),
        ("riscv64-linux-gnu-gcc", (), "qemu-riscv64", {"scalar"}),
        ("s390x-linux-gnu-gcc", (), "qemu-s390x", {"scalar"}),  # big-endian
    ],
)
def test_row_21_other_processors(
    tmp_path: Path, compiler: str, flags: tuple[str, ...], emulator: str, variants: set[str]
) -> None:
    programs = build(tmp_path, compiler, "-static", *flags)
    assert check(programs, require(emulator), plans=EMULATED_PLANS) == variants


@pytest.mark.skipif("avx512_vnni_256" not in _kernels.variants(), reason="needs a processor with AVX-512 VNNI and VL")
@pytest.mark.skipif("avx_vnni" in _kernels.variants(), reason="this processor has AVX-VNNI, and runs the code as it is")
def test_avx_vnni_with_its_one_new_instruction_encoded_as_avx512(tmp_path: Path) -> None:
    """The code of avx_vnni.c runs on a processor with AVX-512 if vpdpbusd gets another prefix."""
    if "avx_vnni" not in _kernels.variants(supported_only=False):
        pytest.skip("this compiler does not know AVX-VNNI")
    shutil.copytree(KERNELS, tmp_path / "kernels")
    file = tmp_path / "kernels" / "variants" / "avx_vnni.c"
    text = file.read_text()
    for old, new in (("%{vex%} vpdpbusd", "vpdpbusd"), ("X86_AVX_VNNI", "X86_AVX512_VNNI")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    file.write_text(text)
    assert "avx_vnni" in check(build(tmp_path / "build", "cc", source=tmp_path / "kernels"))


@is_x86
@pytest.mark.parametrize(
    ("cpu", "variants"),
    [("Conroe", {"scalar"}), ("Nehalem", {"sse41", "scalar"}), ("Haswell", {"avx2", "sse41", "scalar"})],
)
def test_x86_without_newer_instructions(native: Path, cpu: str, variants: set[str]) -> None:
    assert check(native, require("qemu-x86_64"), "-cpu", cpu, plans=EMULATED_PLANS) == variants
