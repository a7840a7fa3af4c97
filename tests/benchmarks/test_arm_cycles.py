"""Cycles on Arm cores: the loop that is taken out of the assembly, its products, and the table."""

import shutil

import pytest
from tidegate.benchmarks import arm_cycles
from tidegate.runtime.errors import BackendError

TEXT = """
other:
.L1:
\tsdot\tv0.4s, v1.16b, v2.16b
\tbne\t.L1
\t.size\tother, .-other
int8_1:
\tcbz\tw0, .L9
.L2:
\tsmlal\tv0.4s, v1.4h, v2.4h
\tsmlal2\tv3.4s, v1.8h, v2.8h
\tbne\t.L2
.L3:
\tadd\tx0, x0, 1
\tsmlal\tv0.4s, v1.4h, v2.4h
\tb.ne\t.L3
.L9:
\tret
\t.size\tint8_1, .-int8_1
"""


def test_the_widest_loop_of_the_function_is_taken() -> None:
    loop = arm_cycles.widest_loop(TEXT, "int8_1")
    assert loop.split() == ["smlal", "v0.4s,", "v1.4h,", "v2.4h", "smlal2", "v3.4s,", "v1.8h,", "v2.8h", "bne", ".L2"]
    assert arm_cycles.products(loop) == 8


def test_a_dot_product_counts_four_in_a_lane() -> None:
    assert arm_cycles.products(arm_cycles.widest_loop(TEXT, "other")) == 16
    assert arm_cycles.products("\tsmull\tv0.8h, v1.8b, v2.8b\n\tsadalp\tv3.4s, v0.8h\n") == 8


def test_a_function_without_a_loop_is_refused() -> None:
    with pytest.raises(BackendError, match="int4_1 has no loop of products, wanted one"):
        arm_cycles.widest_loop(TEXT, "int4_1")


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(BackendError, match="there is no aarch64-linux-gnu-gcc, wanted it for the model of Arm cores"):
        arm_cycles.assembly("neon")


def test_a_loop_takes_no_less_than_its_bound() -> None:
    if not all(shutil.which(tool) for tool in (arm_cycles.COMPILER, arm_cycles.ANALYZER)):
        pytest.skip("needs aarch64-linux-gnu-gcc and llvm-mca")
    loop = arm_cycles.widest_loop(TEXT, "int8_1")
    taken, least = arm_cycles.cycles(loop, "cortex-a72")
    assert taken >= least == pytest.approx(2)  # one multiply pipe
    rows = [(arm_cycles.LOOPS[0], "A72", taken / 8, least / 8)]
    assert arm_cycles.table(rows).to_markdown().splitlines()[-1].startswith("| neon | W8A8 | A72 |")
