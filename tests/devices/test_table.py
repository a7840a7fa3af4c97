"""The table of devices on a processor that cannot run every row."""

import platform
import re
from dataclasses import replace

import pytest
from devices import proving, table
from tidegate.runtime import _kernels
from tidegate.runtime.device.folder import STACK_BYTES
from tidegate.runtime.device.targets import TARGETS, X86, Run


@pytest.mark.parametrize(
    ("variants", "native", "emulated", "left_out"),
    [
        (["avx512_vnni", "avx2", "sse41", "scalar"], {"avx512_vnni", "avx2", "sse41", "scalar"}, set(), set()),
        (["avx2", "sse41", "scalar"], {"avx2", "sse41", "scalar"}, set(), {"avx512_vnni"}),
        (["scalar"], {"scalar"}, {"avx2", "sse41"}, {"avx512_vnni"}),
    ],
)
def test_what_a_processor_lacks_is_emulated_or_left_out(
    monkeypatch: pytest.MonkeyPatch, variants: list[str], native: set[str], emulated: set[str], left_out: set[str]
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(_kernels, "variants", lambda: variants)
    runs = {how.variant: proving.on_this_machine(how) for how in TARGETS["x86_64"].runs}
    assert {name for name, how in runs.items() if how is None} == left_out
    assert {name for name, how in runs.items() if how is not None and how.emulator == ()} == native
    assert {name for name, how in runs.items() if how is not None and how.emulator == X86} == emulated


def test_on_another_architecture_no_emulator_of_x86_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(_kernels, "variants", lambda: ["neon", "scalar"])
    assert proving.on_this_machine(Run("avx2", counter=X86)) is None
    assert proving.on_this_machine(Run("scalar", counter=X86)) == Run("scalar")
    assert proving.on_this_machine(Run("neon", ("qemu-aarch64",))) == Run("neon", ("qemu-aarch64",))


def test_the_line_of_what_is_left_out_stays() -> None:
    text = table.DOCUMENT.read_text()
    one = table.Row("x86_64 avx2", "watch", "ab" * 32, 7, 8, 9, None)
    other = replace(one, target="x86_64 avx512_vnni", hash=None)
    (old,) = (line for line in text.splitlines() if line.startswith("| watch | x86_64 avx512_vnni |"))
    made = table.document(text, [one, other]).partition(table.MARKS[0])[2].partition(table.MARKS[1])[0]
    assert made.splitlines() == [*table.HEAD, "| watch | x86_64 avx2 | `abababababababab` | 7 | 8 | 9 |  |", old]


def figures(model: str, device: str) -> tuple[int, ...]:
    """Return the instructions, the flash and the RAM of a line of the table."""
    (line,) = [line for line in table.DOCUMENT.read_text().splitlines() if line.startswith(f"| {model} | {device} ")]
    return tuple(int(cell.replace(",", "")) for cell in line.split(" | ")[3:6])


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cortex-m0 scalar", "On a Cortex-M0 a frame takes {integers} % of the instructions"),
        ("cortex-m4f arm_dsp", "a Cortex-M4F takes {more} % more instructions"),
        ("cortex-m55 helium", "a Cortex-M55 {more} % more"),
    ],
)
def test_the_sentences_about_integers_have_the_figures_of_the_table(device: str, words: str) -> None:
    share = figures("watch in integers", device)[0] / figures("watch", device)[0]
    said = " ".join(table.DOCUMENT.read_text().split())
    assert words.format(integers=round(100 * share), more=round(100 * share) - 100) in said


@pytest.mark.parametrize(("model", "words"), [("watch", "floats"), ("watch in integers", "integers")])
def test_the_comparison_has_the_ram_of_the_table(model: str, words: str) -> None:
    ram = figures(model, "cortex-m4f arm_dsp")[2] - STACK_BYTES
    assert re.search(rf"^\| tidegate, {words}, .*\| {ram:,} \|", table.DOCUMENT.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("chip", "device"),
    [("rp2040", "cortex-m0 scalar"), ("rp2350", "cortex-m33 arm_dsp"), ("nrf52840", "cortex-m4f arm_dsp")],
)
def test_chips_have_the_flash_and_the_ram_of_their_core(chip: str, device: str) -> None:
    _, flash, ram = figures("watch", device)
    boards = table.DOCUMENT.with_name("boards.md").read_text()
    assert re.search(rf"^\| `{chip}` \|.*\| {flash:,} \|$", boards, re.MULTILINE)
    assert f"each needs {ram:,} bytes of RAM" in boards
