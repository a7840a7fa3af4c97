"""The table of devices on a processor that cannot run every row."""

import platform
from dataclasses import replace

import pytest
from devices import proving, table
from tidegate.runtime import _kernels
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
