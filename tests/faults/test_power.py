"""After a power cut at any time the old file or the new one is there, and the new one once the command has ended."""

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from faults.disk import Change, files_of, on_the_way, power_cuts, recorded
from kernels.building import require
from tidegate import cli
from tidegate.benchmarks.nets import stacks
from tidegate.runtime.device.folder import UNFINISHED
from tools.commands import SMALL, write_files

COMMANDS = (
    "compile m.int8.onnx -o out",
    "run m.tide x.npy -o out.npy",
    "compile m.int8.onnx -o out.c",
    "quantize m.onnx -o out.onnx",
)
EVERY = os.environ.get("TIDEGATE_FAULT_STRIDE") == "1"  # `make damage`; else one of these each day
TRIED = COMMANDS if EVERY else COMMANDS[datetime.now(UTC).day % len(COMMANDS) :][:1]
OLD = b"old" * 1000

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="calls are recorded by strace")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a float file, an int8 file, two plans and a signal."""
    require("strace")
    folder = tmp_path / "work"
    folder.mkdir()
    stacks.save_model(stacks.random_layers(replace(SMALL, cell="GRU")), folder / "gru.onnx", sample_rate=50)
    write_files(folder)
    return folder


def traced(command: str, folder: Path) -> list[Change]:
    """Run a command of tidegate and return the calls that change its folder."""
    return recorded([Path(sys.executable).parent / "tidegate", *command.split()], folder, folder.parent / "log")


@pytest.mark.parametrize("command", TRIED)
def test_row_249_a_power_cut_leaves_the_old_file_or_the_new_one(folder: Path, command: str) -> None:
    name = command.rsplit(maxsplit=1)[-1]
    (folder / name).write_bytes(OLD)
    before = files_of(folder)
    done = traced(command, folder)
    after = files_of(folder)
    cuts = list(power_cuts(done, before))
    print(f"{command}: {len(done)} calls, {len(cuts)} states of the disk")
    assert after[name] != OLD
    assert len(cuts) >= 20
    for disk in cuts:
        assert disk.pop(name) in (OLD, after[name])
        kept = {path: data for path, data in disk.items() if not path.startswith(".tidegate-")}
        assert kept == {path: data for path, data in before.items() if path != name}
    assert on_the_way(done) == {}  # what the command reported is on the disk


def test_row_249_a_power_cut_leaves_a_device_folder_of_one_model_or_says_that_it_is_not_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the older model was another: files of two models are never built together."""
    make = "compile {} --target cortex-m4f -o device"
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit):
        cli.main(make.format("gru.onnx").split())
    before = files_of(folder)
    done = traced(make.format("m.int8.onnx"), folder)
    after = files_of(folder)
    engine = {path for path in before.keys() | after.keys() if path.startswith("device/")}
    assert before.keys() - after.keys(), "nothing is removed, so the case is not the hard one"
    assert on_the_way(done) == {}
    counted = {"old": 0, "new": 0, "unfinished": 0}
    for disk in power_cuts(done, before):
        for build in UNFINISHED:
            counted[_whose(disk, f"device/{build}", before, after, engine)] += 1
    print(f"{len(done)} calls, {counted}")
    assert all(counted.values())


def _whose(
    disk: dict[str, bytes], build: str, before: dict[str, bytes], after: dict[str, bytes], ours: set[str]
) -> str:
    """Return whose build file is there, after a check that all files are of the same model."""
    built = {path for path in ours if path.endswith((".c", ".h", ".inc", ".ld"))}
    if disk[build] == UNFINISHED[Path(build).name].encode():
        return "unfinished"
    for whose, files in (("old", before), ("new", after)):
        if disk[build] == files[build]:
            assert {path: disk.get(path) for path in built} == {path: files.get(path) for path in built}, whose
            return whose
    pytest.fail(f"{build} is half a file")


# ---- the simulation itself ----


def test_a_file_that_is_renamed_before_it_is_flushed_may_be_empty_or_half() -> None:
    """What the disk would do to a writer without `fsync`, so that the tests above can fail."""
    made = [Change("make", 1, "part"), Change("write", 1, data=b"new."), Change("rename", 0, "f", "part")]
    flushed = [*made[:2], Change("flush", 1), made[2]]
    found = {disk["f"] for disk in power_cuts(made, {"f": b"old"})}
    assert found == {b"old", b"", b"ne", b"new."}
    assert {disk["f"] for disk in power_cuts(flushed, {"f": b"old"})} == {b"old", b"new."}
    assert {disk["f"] for disk in power_cuts(flushed, {"f": b"old"}, last=True)} == {b"old", b"new."}  # reported, lost
    whole = [*flushed, Change("flush", ".")]
    assert {disk["f"] for disk in power_cuts(whole, {"f": b"old"}, last=True)} == {b"new."}


def test_a_removed_file_comes_back_and_a_new_folder_goes_unless_their_folder_is_flushed() -> None:
    removed, made = Change("remove", 0, "a/f"), Change("folder", 0, "b")
    assert {len(disk) for disk in power_cuts([removed], {"a/f": b""})} == {0, 1}
    assert list(power_cuts([removed, Change("flush", "a")], {"a/f": b""}, last=True)) == [{}]
    inside = [made, Change("make", 1, "b/f"), Change("flush", 1), Change("flush", "b")]
    assert {len(disk) for disk in power_cuts(inside, {}, last=True)} == {0, 1}
    assert {len(disk) for disk in power_cuts([*inside, Change("flush", ".")], {}, last=True)} == {1}
