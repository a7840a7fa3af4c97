"""The names of chips: each has the code of a measured target, and its own flags and memory."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kernels.building import VECTORS, require
from tidegate.runtime.device.chips import CHIPS, NAMES
from tidegate.runtime.device.compiling import write_device_folder
from tidegate.runtime.device.folder import write_folder
from tidegate.runtime.device.targets import TARGETS, Target
from tidegate.runtime.errors import DeviceError
from tidegate.runtime.load import load

ESP = ["esp32", "esp32s3", "esp32c3"]
TYPED = ["cortex-m3", "cortex-m7", "cortex-m85", "rp2040", "rp2350", "nrf52840", "stm32h7", *ESP]
PLAN = VECTORS / "lstm_8_bits.tide"
FEATURES = 20
HEADERS = "/usr/lib/picolibc/riscv64-unknown-elf/include"  # of Debian's picolibc-riscv64-unknown-elf
RISCV = 243  # in ELF files
chips = pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)


def test_names_that_people_type_are_there() -> None:
    assert sorted(CHIPS) == sorted(TYPED)
    assert list(NAMES) == [*TARGETS, *CHIPS]


@chips
def test_chip_has_the_variants_of_its_core(chip: Target) -> None:
    assert chip.variants == TARGETS[chip.core].variants


def test_report_says_whose_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    for name in ("rp2350", "cortex-m33"):
        write_device_folder(PLAN, name, tmp_path / name)
        fields = json.loads((tmp_path / name / "report.json").read_text())
        assert (fields["target"], fields["core"]) == (name, "cortex-m33")
        assert fields["variants"] == ["arm_dsp", "scalar"]


def test_model_that_is_too_large_for_a_chip_is_refused(tmp_path: Path) -> None:
    chip = CHIPS["nrf52840"]
    require(chip.compiler)
    assert chip.board is not None
    small = replace(chip, board=replace(chip.board, flash=(chip.board.flash[0], 16384)))
    with pytest.raises(DeviceError, match=r"(?s)arm-none-eabi-gcc fails for nrf52840: .*overflowed by"):
        write_folder({"model": PLAN.read_bytes()}, small, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cortex-m3", "stm32h7"])  # floats in software on a core, and a chip
def test_make_run_prints_the_answers_of_python(name: str, tmp_path: Path) -> None:
    require(CHIPS[name].compiler)
    require("qemu-system-arm")
    frames = np.random.default_rng(0).standard_normal((3, FEATURES)).astype("<f4")
    (tmp_path / "frames.f32").write_bytes(frames.tobytes())
    write_device_folder(PLAN, name, tmp_path / "out")
    for given, values in ((["FRAMES=../frames.f32"], frames), ([], np.zeros_like(frames))):
        command = ["make", "-s", "-C", str(tmp_path / "out"), "run", *given]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        stream = load(PLAN).stream()
        wanted = [np.asarray(stream.push(frame[None])).ravel() for frame in values]
        np.testing.assert_allclose([list(map(float, line.split())) for line in said.splitlines()], wanted, atol=1e-6)


ESP_IDF = "esp32: the program is linked and run by ESP-IDF, of which this folder is a component"
NO_EMULATOR = "qemu-system-arm is not installed; it runs programs for cortex-m7 on this machine"
NO_COMPILER = " is not installed; it compiles for {}: install it, or name another with make CC=..."


@pytest.mark.parametrize(
    ("name", "arguments", "wanted"),
    [
        ("cortex-m7", ["run", "FRAMES=none.f32"], "FRAMES=none.f32: no file that can be read; its path counts from {}"),
        ("esp32", ["run"], ESP_IDF),
        ("esp32", [], "xtensa-esp32-elf-gcc" + NO_COMPILER.format("esp32")),
        ("cortex-m7", ["run"], "arm-none-eabi-gcc" + NO_COMPILER.format("cortex-m7")),
        ("cortex-m7", ["run", "CC=true"], NO_EMULATOR),
    ],
)
def test_make_says_what_is_missing(
    name: str, arguments: list[str], wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "which", lambda _: None)
        write_device_folder(PLAN, name, tmp_path / "out")
    (tmp_path / "tools").mkdir()
    for tool in ("sh", "mkdir", "make", "true"):
        (tmp_path / "tools" / tool).symlink_to(require(tool))
    command = ["make", "-s", "-C", str(tmp_path / "out"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": str(tmp_path / "tools")})
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == wanted.format(tmp_path / "out")


@pytest.mark.slow
def test_chip_of_espressif_compiles_to_objects_with_another_compiler_of_its_processor(tmp_path: Path) -> None:
    """Debian has a compiler for 32-bit RISC-V; Espressif's own, and those for Xtensa, are in no package registry."""
    compiler = "riscv64-unknown-elf-gcc"
    require(compiler)
    write_device_folder(PLAN, "esp32c3", tmp_path / "out")
    command = ["make", "-s", "-C", str(tmp_path / "out"), f"CC={compiler} -isystem {HEADERS}"]
    subprocess.run(command, check=True, capture_output=True)
    machine = int.from_bytes((tmp_path / "out/model").read_bytes()[18:20], "little")  # of the header of an ELF file
    assert machine == RISCV
