"""Every device gives the same bits and needs nothing that a device lacks; see proving.py."""

import ast
import gzip
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from devices import proving, table
from devices.models import FRAMES, MODELS, samples
from kernels.building import require
from tidegate.runtime import _kernels
from tidegate.runtime.arrays import Floats
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.contract import Contract, Port, State
from tidegate.runtime.device.folder import STACK_BYTES, write_folder
from tidegate.runtime.device.targets import LAYOUTS, TARGETS, WASM, Target
from tidegate.runtime.errors import DeviceError
from tidegate.runtime.operators import Linear
from tidegate.runtime.operators.matrix import Matrix, Reading
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Lstm, Program, Slot

MOST_OF_A_MODULE = 20_000  # bytes of a trimmed module, gzipped
SHORT = 300  # frames; `make devices` streams all 10^4
IN_PLACE = [target for target in TARGETS.values() if not set(target.variants) & set(LAYOUTS)]
MICROCONTROLLERS = [target for target in TARGETS.values() if target.board is not None]

# Functions that the compiler itself may call: they copy memory, or compute with numbers for which the core lacks
# instructions.
ALLOWED = {"memcpy", "memmove", "memset", "memcmp", "_GLOBAL_OFFSET_TABLE_"}  # the last name is from the linker
COMPILERS = re.compile(r"__aeabi_\w+|__popcount\w*|__clz\w*|__gnu_thumb1_case_\w+")


# Instructions that compute with floats, compare or convert them, but not those that only move bytes through a float
# register. A core without a float unit calls FLOAT_FUNCTIONS instead.
ON_ARM = r"v(?!mov)\w+\.[\w.]*f\d\d[\w.]*"
ON_X86 = r"v?(add|sub|mul|div|sqrt|min|max|cmp\w*|u?comi|round|rcp|rsqrt)(ss|sd|ps|pd)|v?cvt\w+|f(?!ence)\w+"
FLOAT_INSTRUCTIONS = {
    **dict.fromkeys(("cortex-m0", "cortex-m4f", "cortex-m33", "cortex-m55", "armv7-neon"), ON_ARM),
    "riscv64": r"f(?!mv|ence)\w+\.[sd](\..*)?",
    "generic": ON_X86,
}
FLOAT_FUNCTIONS = re.compile(r"__aeabi_(c?[fd]\w+|u?[il]2[fd])|__\w+[sd]f[23]?")


@pytest.fixture(scope="session", params=list(MODELS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes, Floats]:
    """The name of a model, its plan and the samples that it streams."""
    make, channels = MODELS[request.param]
    return request.param, make(tmp_path_factory.mktemp(request.param)), samples()[:, channels]


def tools(target: Target) -> None:
    """Skip the test if a tool of a target is missing; in continuous integration the test fails."""
    for tool in (target.compiler, target.tool("nm"), "make", *(run.emulator[0] for run in target.runs if run.emulator)):
        require(tool)


@pytest.mark.slow
@pytest.mark.parametrize("target", IN_PLACE, ids=lambda target: target.name)
def test_every_device_gives_the_bits_of_python(
    target: Target, model: tuple[str, bytes, Floats], tmp_path: Path
) -> None:
    """Also: it calls no other library; integer nets use no floats; a microcontroller has a small stack and no heap."""
    tools(target)
    name, plan, frames = model
    built = proving.build(plan, target, tmp_path)
    for how in target.runs:
        seen = proving.stream(built, how, frames[:SHORT])
        assert seen["hash"] == proving.hash_in_python(plan, frames[:SHORT])
    asked = undefined(target, tmp_path / "build" / "tidegate")
    assert {name for name in asked - ALLOWED if not COMPILERS.fullmatch(name)} <= {"__stack_chk_fail"}
    if target.name in FLOAT_INSTRUCTIONS:
        assert computes_with_floats(target, tmp_path / "build" / "tidegate") == ("in integers" not in name)
    if target.board is not None:
        assert int(seen["stack"]) <= STACK_BYTES
        assert not {name for name in symbols(target, built.program) if "malloc" in name or name in {"_sbrk", "free"}}


def nibbles(columns: int, rows: int, reading: Reading, group: int) -> Matrix:
    """Random 4-bit weights."""
    rng = np.random.default_rng(columns)
    scales = np.full((rows, -(-columns // group) if group else 1), 0.05, np.float32)
    return Matrix(rng.integers(-7, 8, (rows, columns)).astype(np.int8), scales, reading, 16, 4, group)


def plan_of_nibbles(group: int) -> bytes:
    """A plan of an LSTM 13 -> 27 and a linear layer: rows end in parts of the words that 4-bit weights are read by."""
    slots = Slot("h", 0), Slot("c", 0)
    w, r = nibbles(13, 108, Reading.FRAME, group), nibbles(27, 108, Reading.HIDDEN, group)
    head = Linear((1,), nibbles(27, 3, Reading.FRAME, group), np.zeros(3, np.float32))
    states = tuple(State(slot.name, f"{slot.name}.out", slot.name, (1, "batch", 27)) for slot in slots)
    contract = Contract((Port("x", 0, None),), (Port("y", 0, None),), states)
    return compile_program(
        Program(13, (Lstm((0,), w, r, np.zeros(108, np.float32), *slots), head), (("y", 2),)), contract
    )


@pytest.mark.slow
@pytest.mark.parametrize("group", [0, 8])
@pytest.mark.parametrize("name", ["cortex-m4f", "s390x"])  # codes with the middle two of four swapped; big-endian
def test_4_bit_weights_in_place_give_the_bits_of_python(name: str, group: int, tmp_path: Path) -> None:
    target = TARGETS[name]
    tools(target)
    plan, frames = plan_of_nibbles(group), np.random.default_rng(1).standard_normal((50, 13), np.float32)
    built = proving.build(plan, target, tmp_path)
    assert {proving.stream(built, how, frames)["hash"] for how in target.runs} == {proving.hash_in_python(plan, frames)}


@pytest.mark.slow
def test_aarch64_with_and_without_dot_products(tmp_path: Path) -> None:
    """The variants that pack weights, only for the amplifier, because their code takes long to compile."""
    target = TARGETS["aarch64"]
    tools(target)
    (tmp_path / "model").mkdir()
    plan, frames = MODELS["amp"][0](tmp_path / "model"), samples()[:SHORT, MODELS["amp"][1]]
    built = proving.build(plan, target, tmp_path / "folder")
    seen = {proving.stream(built, how, frames)["hash"] for how in target.runs}
    assert seen == {proving.hash_in_python(plan, frames)}


@pytest.mark.slow
def test_row_151_webassembly_gives_the_bits_of_python_in_few_bytes(
    model: tuple[str, bytes, Floats], tmp_path: Path
) -> None:
    target = TARGETS[WASM]
    require("node")
    _, plan, frames = model
    built = proving.build(plan, target, tmp_path)
    seen = {proving.stream(built, how, frames[:SHORT])["hash"] for how in target.runs}
    assert seen == {proving.hash_in_python(plan, frames[:SHORT])}
    sizes = [len(gzip.compress(path.read_bytes(), 9)) for path in tmp_path.glob("*.wasm")]
    assert len(sizes) == 2
    assert max(sizes) <= MOST_OF_A_MODULE


@pytest.mark.parametrize("isa", _kernels.variants())
def test_every_variant_of_this_processor_gives_the_bits_of_python(isa: str, model: tuple[str, bytes, Floats]) -> None:
    _, plan, frames = model
    wanted = proving.hash_in_python(plan, frames[:SHORT])
    assert proving.hash_of(NativeModel(plan, isa), frames[:SHORT]) == wanted


def test_document_has_the_hash_of_all_samples(model: tuple[str, bytes, Floats]) -> None:
    """docs/devices.md has a line for every target, and every line has the same hash as Python."""
    name, plan, frames = model
    assert len(frames) == FRAMES
    text = table.DOCUMENT.read_text().partition(table.MARKS[0])[2].partition(table.MARKS[1])[0]
    lines = [row.split(" | ") for row in text.splitlines() if row.startswith(f"| {name} | ")]
    wanted = f"`{proving.hash_in_python(plan, frames)[: table.SHOWN]}`"
    assert {line[2] for line in lines} == {wanted}
    targets = [table.name_of(target, how) for target in TARGETS.values() for how in target.runs]
    assert [line[1] for line in lines] == ["Python", *targets]


def undefined(target: Target, folder: Path) -> set[str]:
    """Return the names that the engine's object files need from elsewhere."""
    objects = sorted(map(str, folder.rglob("*.o")))
    rows = [line.split() for line in proving.run([target.tool("nm"), "-g", *objects]).decode().splitlines()]
    defined = {row[-1] for row in rows if len(row) == 3}
    return {row[1] for row in rows if len(row) == 2 and row[0] == "U"} - defined


def computes_with_floats(target: Target, folder: Path) -> bool:
    """Whether the engine's object files compute with floats, by an instruction or by a function."""
    if any(FLOAT_FUNCTIONS.fullmatch(name) for name in undefined(target, folder)):
        return True
    wanted = re.compile(FLOAT_INSTRUCTIONS[target.name])
    objects = sorted(map(str, folder.rglob("*.o")))
    lines = proving.run([target.tool("objdump"), "-d", "--no-show-raw-insn", *objects]).decode().splitlines()
    instructions = {line.split("\t")[1].split(" ")[0] for line in lines if re.match(r"\s+[0-9a-f]+:\t", line)}
    return any(wanted.fullmatch(instruction) for instruction in instructions)


def symbols(target: Target, program: Path) -> list[str]:
    """Return the names in a linked program."""
    return [line.split()[-1] for line in proving.run([target.tool("nm"), str(program)]).decode().splitlines()]


@pytest.mark.slow
def test_cmake_builds_the_folder_too(model: tuple[str, bytes, Floats], tmp_path: Path) -> None:
    target = TARGETS["cortex-m4f"]
    tools(target)
    folder = tmp_path / "folder"
    write_folder({"model": model[1]}, target, folder)
    cmake = require("cmake")
    proving.run([cmake, "-S", str(folder), "-B", str(tmp_path / "build")])
    proving.run([cmake, "--build", str(tmp_path / "build")])
    printed = proving.run(
        [*target.runs[0].emulator, str(tmp_path / "build" / "model")], model[2][:3].tobytes()
    ).decode()
    answers = np.array([list(map(float, line.split())) for line in printed.splitlines()])
    stream = NativeModel(model[1]).stream()
    wanted = np.array([np.asarray(stream.push(frame[None])).ravel() for frame in model[2][:3]])
    np.testing.assert_allclose(answers, wanted, rtol=0, atol=1e-6 * max(1.0, float(np.abs(wanted).max())))


@pytest.mark.slow
def test_report_has_the_sizes_of_the_model(model: tuple[str, bytes, Floats], tmp_path: Path) -> None:
    target = TARGETS["cortex-m0"]
    tools(target)
    name, plan, _ = model
    report = write_folder({"model": plan}, target, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["plan_bytes"] == len(plan)
    assert report.multiply_adds == {"watch": 51_136, "amp": 3 * 64 * 65 + 64}[name.split()[0]]
    assert report.flash_bytes is not None
    assert report.plan_bytes < report.flash_bytes < report.plan_bytes + 40_000
    parts = (report.model_bytes, report.state_bytes, report.scratch_bytes, report.stack_bytes)
    assert sum(parts) <= report.ram_bytes < sum(parts) + 512
    assert report.ram_bytes < 16_384


@pytest.mark.slow
def test_model_that_does_not_fit_on_the_board_leaves_the_folder_unchanged(
    model: tuple[str, bytes, Floats], tmp_path: Path
) -> None:
    target = TARGETS["cortex-m0"]
    tools(target)
    assert target.board is not None
    small = replace(target, board=replace(target.board, flash=(target.board.flash[0], 4096)))
    (tmp_path / "report.json").write_text("old")

    with pytest.raises(DeviceError, match="overflowed by"):
        write_folder({"model": model[1]}, small, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_layouts_in_python_equal_those_of_the_variants() -> None:
    variants = Path(table.ROOT) / "runtime" / "kernels" / "variants"
    for name, layout in LAYOUTS.items():
        text = (variants / f"{name}.c").read_text()
        text += "".join((variants / part).read_text() for part in re.findall(r'#include "(\w+\.inc)"', text))
        parts = {"LANES": "", "PANEL": "", "DEPTHS": "", "BYTES8": "1", "WORDS": "0"}  # what the file need not say
        seen = [re.search(rf"^#define {what} ([^/\n]+)", text, re.MULTILINE) for what in parts]
        values = [
            found[1].translate(str.maketrans("{}", "()")) if found else parts[what]
            for what, found in zip(parts, seen, strict=True)
        ]
        assert tuple(map(ast.literal_eval, values)) == layout


def test_command_writes_a_folder_and_refuses_an_unknown_target(tmp_path: Path) -> None:
    """The command line, with the plan of a golden vector."""
    plan = Path(table.TESTS) / "vectors" / "lstm_16_bits.tide"
    command = [sys.executable, "-m", "tidegate", "compile", str(plan), "-o", str(tmp_path / "out"), "--target"]
    done = subprocess.run([*command, "generic"], capture_output=True, text=True, check=True)
    assert "multiply-adds a frame" in done.stdout
    assert (tmp_path / "out" / "tidegate" / "src" / "plan.c").is_file()
    refused = subprocess.run([*command, "pdp11"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "cortex-m4f" in refused.stderr
