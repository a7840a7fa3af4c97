"""The table of devices."""

import pytest
from tidegate.runtime.device import parts
from tidegate.runtime.device.targets import LAYOUTS, TARGETS, Target

VARIANTS = {path.stem for path in (parts.KERNELS / "variants").rglob("*.c")}
targets = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@targets
def test_every_variant_of_a_target_has_its_file_and_plain_c_is_one_of_them(target: Target) -> None:
    assert set(target.variants) <= VARIANTS
    assert "scalar" in target.variants
    assert len(set(target.variants)) == len(target.variants)


@targets
def test_only_a_microcontroller_needs_a_board_and_an_emulator_of_boards(target: Target) -> None:
    bare = target.compiler.startswith("arm-none-eabi")
    assert (target.board is not None) == bare
    assert all((run.emulator[:1] == ("qemu-system-arm",)) == bare for run in target.runs)


def test_layouts_are_those_of_variants() -> None:
    assert set(LAYOUTS) <= VARIANTS


@pytest.mark.parametrize(("compiler", "size"), [("cc", "size"), ("arm-none-eabi-gcc", "arm-none-eabi-size")])
def test_a_tool_has_the_prefix_of_the_compiler(compiler: str, size: str) -> None:
    assert Target("t", "", compiler, (), ()).tool("size") == size
