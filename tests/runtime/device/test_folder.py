"""The folder of C code: what is in it, and what is refused; tests/devices builds and runs it."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tidegate.quant import quantize
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.cells import Activation, CellOptions
from tidegate.runtime.contract import Blocks
from tidegate.runtime.device.compiling import write_device_folder
from tidegate.runtime.device.folder import UNFINISHED, write_files
from tidegate.runtime.device.parts import sizes_of
from tidegate.runtime.device.targets import TARGETS
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import compile_model, load, plan_of
from tidegate.runtime.operators import Backward, Folded
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program, Reading
from tools.onnx_files import name_initial, write_lstm
from tools.random_layers import gru_with_options
from tools.streams import contract_of

SEARCHED = ("tidegate/include", ".", "src")  # by the compiler: the first two of the Makefile, the last of a library


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A quantized LSTM, on a machine without compilers."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    return tmp_path / "m.int8.onnx"


def test_a_folder_has_all_that_its_files_include(model: Path, tmp_path: Path) -> None:
    write_device_folder(model, "generic", tmp_path / "out")
    for path in (tmp_path / "out").rglob("*.[ch]"):
        for name in re.findall(r'^#include "([^"]+)"$', path.read_text(), re.MULTILINE):
            places = [folder / name for folder in (path.parent, *(tmp_path / "out" / part for part in SEARCHED))]
            assert any(place.is_file() for place in places), (path, name)


def test_a_device_starts_from_the_initial_states_of_the_model(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx", 2, 3))
    name_initial(graph.model, "lstm.h_in", np.array([[[0.75, -0.5, 2]]], np.float32))
    graph.save(tmp_path / "m.onnx")
    write_files({"model": plan_of(tmp_path / "m.onnx")}, TARGETS["generic"], tmp_path / "out")
    build = ["make", "-C", "out"]
    subprocess.run(build, cwd=tmp_path, capture_output=True, check=True)
    frames = np.random.default_rng(0).normal(0, 1, (4, 2)).astype("<f4")
    said = subprocess.run([tmp_path / "out/model"], input=frames.tobytes(), capture_output=True, check=True).stdout
    stream = load(tmp_path / "m.onnx").stream()
    wanted = [stream.push(frame[None]) for frame in frames]
    np.testing.assert_allclose([list(map(float, line.split())) for line in said.splitlines()], wanted, atol=1e-6)


def test_only_the_operators_and_variants_of_the_model_and_target_are_there(model: Path, tmp_path: Path) -> None:
    write_device_folder(model, "cortex-m4f", tmp_path / "out")
    sources = tmp_path / "out" / "tidegate"
    assert {path.stem for path in (sources / "operators").glob("*.c")} == {"lstm", "last", "linear"}
    assert {path.stem for path in (sources / "variants").rglob("*.c")} == {"arm_dsp", "scalar"}
    listed = (sources / "src/operators.inc").read_text()
    assert re.findall(r"TIDE_OPERATOR\((\w+)\)", listed) == ["lstm", "linear", "last"]


def write_gru_with_options(folder: Path, blocks: Blocks | None = None, rows: int = 0) -> bytes:
    """Write the folder of a GRU with options, in plain C; with blocks backward, or over rows. Return the plan."""
    options = CellOptions((Activation("Sigmoid"), Activation("Relu")), reset_first=True)
    cell = gru_with_options(np.random.default_rng(0), 0, (5, 7), Reading.FRAME, 16, options=options)
    op = Backward((0,), cell, blocks) if blocks else Folded((0,), cell, 1, rows, carried=True) if rows else cell
    program = Program(5 * max(rows, 1), (op,), (("y", 1),), blocks=blocks)
    plan = compile_program(program, contract_of(program))
    write_files({"model": plan}, TARGETS["generic"], folder)
    return plan


def test_a_cell_with_options_runs_on_a_device_without_any_other_cell(tmp_path: Path) -> None:
    plan = write_gru_with_options(tmp_path / "out")
    assert {path.stem for path in (tmp_path / "out/tidegate/operators").glob("*.c")} == {"gru_with_options"}
    build = ["make", "-C", "out"]
    subprocess.run(build, cwd=tmp_path, capture_output=True, check=True)
    frames = np.random.default_rng(1).normal(0, 1, (4, 5)).astype("<f4")
    said = subprocess.run([tmp_path / "out/model"], input=frames.tobytes(), capture_output=True, check=True).stdout
    seen = [list(map(float, line.split())) for line in said.splitlines()]
    np.testing.assert_allclose(seen, NativeModel(plan, "scalar").stream().push(frames), atol=1e-6)


def test_a_backward_cell_brings_only_its_own_cell(tmp_path: Path) -> None:
    write_gru_with_options(tmp_path / "out", Blocks(2, 1))
    assert {path.stem for path in (tmp_path / "out/tidegate/operators").glob("*.c")} == {"gru_with_options", "backward"}
    build = ["make", "-C", "out"]
    subprocess.run(build, cwd=tmp_path, capture_output=True, check=True)


def test_a_folded_cell_brings_only_its_own_cell(tmp_path: Path) -> None:
    plan = write_gru_with_options(tmp_path / "out", rows=3)
    assert {path.stem for path in (tmp_path / "out/tidegate/operators").glob("*.c")} == {"gru_with_options", "folded"}
    build = ["make", "-C", "out"]
    subprocess.run(build, cwd=tmp_path, capture_output=True, check=True)
    frames = np.random.default_rng(1).normal(0, 1, (4, 15)).astype("<f4")
    said = subprocess.run([tmp_path / "out/model"], input=frames.tobytes(), capture_output=True, check=True).stdout
    seen = [list(map(float, line.split())) for line in said.splitlines()]
    np.testing.assert_allclose(seen, NativeModel(plan, "scalar").stream().push(frames), atol=1e-6)


def test_the_report_counts_a_plan_without_a_compiler(model: Path, tmp_path: Path) -> None:
    report = write_device_folder(model, "cortex-m4f", tmp_path / "out")
    plan = plan_of(model)
    assert (report.target, report.compiler, report.code_bytes) == ("cortex-m4f", None, None)
    assert (report.plan_bytes, report.multiply_adds) == (len(plan), 4 * 8 * (6 + 8) + 8 * 3)
    assert report.ram_bytes == report.model_bytes + report.state_bytes + report.scratch_bytes + report.stack_bytes
    assert report.state_bytes == 4 * 2 * 8
    assert f"M_MEMORY = {report.model_bytes}" in (tmp_path / "out/m.h").read_text()
    assert (tmp_path / "out/report.json").is_file()


def test_a_plan_file_gives_the_same_folder(model: Path, tmp_path: Path) -> None:
    compile_model(model, tmp_path / "m.tide")
    for source, out in ((model, "a"), (tmp_path / "m.tide", "b")):
        write_device_folder(source, "generic", tmp_path / out)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert files
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files)


def test_sizes_of_a_target_are_the_largest_of_its_variants(model: Path) -> None:
    plan = plan_of(model)
    packed, plain = sizes_of([plan], TARGETS["x86_64"])[0], sizes_of([plan], TARGETS["generic"])[0]
    assert packed.model >= plain.model
    assert (packed.features, packed.outputs, packed.states) == (6, [3], [8, 8])


# ---- writers that are killed ----


def texts(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def interrupt_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """End the writer when it has written so many files."""
    left = iter(range(count))

    def write(path: Path, data: bytes) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        path.write_bytes(data)

    monkeypatch.setattr("tidegate.runtime.device.file_list.write_atomic", write)


def test_row_25_folder_of_a_killed_writer_is_whole_or_says_that_it_is_not(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any number of files: what builds the folder is there only with all files of its model."""
    small = write_lstm(tmp_path / "small.onnx", 2, 3)
    sets = []
    for source in (model, small):
        write_files({"model": plan_of(source)}, TARGETS["generic"], tmp_path / source.stem)
        sets.append(texts(tmp_path / source.stem))
    assert sets[0]["model.c"] != sets[1]["model.c"]
    plan = plan_of(small)
    for count in range(len(sets[1]) + len(UNFINISHED) + 1):  # the list is written twice
        folder = tmp_path / f"after {count}"
        shutil.copytree(tmp_path / model.stem, folder)
        with monkeypatch.context() as patched:
            interrupt_after(count, patched)
            with pytest.raises(KeyboardInterrupt):
                write_files({"model": plan}, TARGETS["generic"], folder)
        found = texts(folder)
        for name, unfinished in UNFINISHED.items():
            built = [one for one in sets if one[name] == found[name]]
            assert found[name] == unfinished or any(
                all(found[file] == text for file, text in one.items() if file not in UNFINISHED) for one in built
            ), (count, name)


def test_report_of_an_older_model_does_not_stay(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_device_folder(model, "generic", tmp_path / "out")
    monkeypatch.setattr("tidegate.runtime.device.folder._report", lambda *_: interrupt_after(3, monkeypatch))
    with pytest.raises(KeyboardInterrupt):
        write_device_folder(model, "generic", tmp_path / "out")
    assert not (tmp_path / "out/report.json").exists()


@pytest.mark.parametrize("command", [["make", "-C"], ["cmake", "-B", "build", "-S"]])
def test_folder_that_is_not_whole_does_not_build(model: Path, tmp_path: Path, command: list[str]) -> None:
    write_files({"model": plan_of(model)}, TARGETS["generic"], tmp_path / "out")
    for name, text in UNFINISHED.items():
        (tmp_path / "out" / name).write_text(text)
    done = subprocess.run([*command, "out"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "this folder was not written to its end: run `tidegate compile` again" in done.stderr


def test_model_of_one_plan_and_header_of_another_do_not_compile(model: Path, tmp_path: Path) -> None:
    """Also in a build of the user's own."""
    for source in (model, write_lstm(tmp_path / "small.onnx", 2, 3)):
        write_files({"model": plan_of(source)}, TARGETS["generic"], tmp_path / source.stem)
    compiler = ["cc", "-fsyntax-only", "model.c"]
    said = [subprocess.run(compiler, cwd=tmp_path / "small", capture_output=True, text=True, check=False)]
    shutil.copy(tmp_path / model.stem / "model.h", tmp_path / "small/model.h")
    said.append(subprocess.run(compiler, cwd=tmp_path / "small", capture_output=True, text=True, check=False))
    assert (said[0].returncode, said[0].stderr) == (0, "")
    assert said[1].returncode
    assert "model.c and model.h are of two models: run `tidegate compile` again" in said[1].stderr
    write_files({"model": plan_of(model)}, TARGETS["generic"], tmp_path / "small")
    assert subprocess.run(compiler, cwd=tmp_path / "small", check=False).returncode == 0


def test_a_program_of_the_users_own_stays_and_is_built(model: Path, tmp_path: Path) -> None:
    """Files with the folder's own names are written anew: the comment of main.c says to change a copy."""
    folder = tmp_path / "out"
    write_device_folder(model, "generic", folder)
    first = (folder / "main.c").read_text()
    assert "change a copy, which `make MAIN=mine.c` or `cmake -DMAIN=mine.c` builds" in first
    for name in ("main.c", "mine.c"):
        (folder / name).write_text("changed\n")
    write_device_folder(model, "generic", folder)
    assert (folder / "main.c").read_text() == first
    assert (folder / "mine.c").read_text() == "changed\n"
    command = ["make", "-n", "-C", str(folder), "MAIN=mine.c"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "mine.c" in said
    assert "main.c" not in said
    assert "add_executable(model ${MAIN} " in (folder / "CMakeLists.txt").read_text()
