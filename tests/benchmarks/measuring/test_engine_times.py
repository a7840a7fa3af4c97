"""Times of plans in C: how the program is built and refused, and what its figures become."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from kernels.building import KERNELS, require
from tidegate.benchmarks import bounds
from tidegate.benchmarks.measuring import engine_times
from tidegate.benchmarks.measuring.engine_times import build, time_plan
from tidegate.runtime.errors import BackendError

FIGURES = {
    "push_ns": 4000, "push_p999_ns": 9000, "silence_ns": 3000, "read_ns": 1000, "read_p999_ns": 2000,
    "million_macs_ns": 5000, "peak": "vpdpbusd", "planes": 2,
}  # fmt: skip


@pytest.mark.parametrize("source", engine_times.SOURCES)
def test_timing_program_still_fits_the_engine(source: str) -> None:
    """It reads plans by the engine's own headers; to build all of it would take half a minute."""
    flags = ("-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{KERNELS / 'include'}")
    subprocess.run([require("cc"), *flags, engine_times.HERE / source], check=True)


@pytest.mark.parametrize(("bits", "macs_us"), [(16, 0.01), (8, 0.005)])
def test_figures_become_microseconds_and_codes_of_16_bits_take_all_planes(bits: int, macs_us: float) -> None:
    command = [sys.executable, "-c", f"print({json.dumps(FIGURES)!r})"]
    row = time_plan(command, ("A", 1000), bits, 1)
    assert (row.push_us, row.p999_us, row.silence_us, row.read_us, row.read_p999_us) == (4, 9, 3, 1, 2)
    assert row.macs_us == pytest.approx(macs_us)
    assert row.ratio == 4


def test_an_installed_tidegate_has_no_source_and_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engine_times, "HERE", tmp_path)
    with pytest.raises(SystemExit, match=r"^bounds: error: there is no .*engine.c, wanted .* in a checkout, [^\n]*$"):
        bounds.main(["--whole"])


def test_a_compiler_that_is_missing_or_fails_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match=r"there is no C compiler `cc`, wanted one .*: apt-get install gcc"):
        build(tmp_path)
    (tmp_path / "cc").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    (tmp_path / "cc").chmod(0o755)
    with pytest.raises(BackendError, match=r"cc cannot build the timing program, exit status 3: see above"):
        build(tmp_path)
    assert capfd.readouterr().err == "broken\n"
