"""The list of the engine's files in a device folder: old ones go, and no other file is touched."""

import subprocess
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.device import file_list
from tidegate.runtime.device.file_list import (
    LIST,
    as_text,
    entries_of,
    read_list,
    refuse_links,
    remove_old,
    write_all,
)
from tidegate.runtime.device.folder import write_files
from tidegate.runtime.device.targets import TARGETS
from tidegate.runtime.errors import DeviceError
from tidegate.runtime.load import plan_of
from tools.onnx_files import write_lstm

OWN = "int own(void) { return 1; }\n"
HEADER = "tidegate/src/old.h"


@pytest.fixture
def plan(tmp_path: Path) -> bytes:
    return plan_of(write_lstm(tmp_path / "m.onnx", 2, 3))


def texts(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_row_69_files_of_an_older_model_do_not_stay_and_own_files_do(plan: bytes, tmp_path: Path) -> None:
    for target, name in (("generic", "fresh"), ("x86_64", "again"), ("generic", "again")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "own.c").write_text(OWN)
        write_files({"model": plan}, TARGETS[target], tmp_path / name)
    assert texts(tmp_path / "again") == texts(tmp_path / "fresh")
    frames = np.ones((3, 2), "<f4").tobytes()
    said = []
    for name in ("fresh", "again"):
        build = ["make", "-C", name]
        subprocess.run(build, cwd=tmp_path, capture_output=True, check=True)
        said.append(subprocess.run([tmp_path / name / "model"], input=frames, capture_output=True, check=True).stdout)
    assert said[0] == said[1] != b""


def test_a_file_that_a_user_added_or_changed_stays(plan: bytes, tmp_path: Path) -> None:
    write_files({"model": plan}, TARGETS["x86_64"], tmp_path / "out")
    variants = tmp_path / "out/tidegate/variants"
    changed = variants / "avx2.c"
    changed.write_text(f"// mine\n{changed.read_text()}")
    (variants / "mine.c").write_text(OWN)
    write_files({"model": plan}, TARGETS["generic"], tmp_path / "out")
    assert {path.name for path in variants.glob("*.c")} == {"avx2.c", "mine.c", "scalar.c"}


@pytest.mark.parametrize(
    "name", ["../victim.c", "tidegate/../../victim.c", "/victim.c", "main.c", "tidegate/files.txt"]
)
def test_a_list_names_no_file_outside_the_engine(plan: bytes, tmp_path: Path, name: str) -> None:
    victim, out = tmp_path / "victim.c", tmp_path / "out"
    victim.write_text(OWN)
    write_files({"model": plan}, TARGETS["generic"], out)
    ((digest, _),) = entries_of({HEADER: OWN})
    with (out / LIST).open("a") as file:
        file.write(f"{digest}  {name}\n{digest}  {victim}\n")
    (out / "main.c").write_text(OWN)
    remove_old(out, read_list(out), [])
    assert victim.read_text() == OWN
    assert (out / "main.c").read_text() == OWN


def test_a_listed_file_behind_a_link_stays(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/old.h").write_text(OWN)
    (tmp_path / "out/tidegate").mkdir(parents=True)
    (tmp_path / "out/tidegate/src").symlink_to(tmp_path / "other")
    remove_old(tmp_path / "out", entries_of({HEADER: OWN}), [])
    (tmp_path / "out/tidegate/src").unlink()
    (tmp_path / "out/tidegate/src").mkdir()
    (tmp_path / "out" / HEADER).symlink_to(tmp_path / "other/old.h")
    remove_old(tmp_path / "out", entries_of({HEADER: OWN}), [])
    assert (tmp_path / "out" / HEADER).is_symlink()
    assert (tmp_path / "other/old.h").read_text() == OWN


@pytest.mark.parametrize("name", ["main.c", "Makefile", "model.c", "tidegate", "tidegate/src", "tidegate/files.txt"])
def test_a_link_in_the_folder_is_refused_and_what_it_names_stays(plan: bytes, tmp_path: Path, name: str) -> None:
    write_files({"model": plan}, TARGETS["generic"], tmp_path / "out")
    place, victim = tmp_path / "out" / name, tmp_path / "victim"
    place.rename(victim)
    place.symlink_to(victim)
    way = "remove it, or give another folder"
    before = victim.read_text() if victim.is_file() else sorted(texts(victim))
    with pytest.raises(DeviceError, match=rf"out/{name}: is a link, wanted a file or folder of its own; {way}"):
        write_files({"model": plan}, TARGETS["x86_64"], tmp_path / "out")
    assert before == (victim.read_text() if victim.is_file() else sorted(texts(victim)))
    place.unlink()
    write_files({"model": plan}, TARGETS["x86_64"], tmp_path / "out")
    write_files({"model": plan}, TARGETS["x86_64"], tmp_path / "another")


@pytest.mark.parametrize("text", ["", "\0\xff\n", "no list\n", "x" * 2**21])
def test_a_damaged_list_names_nothing(plan: bytes, tmp_path: Path, text: str) -> None:
    write_files({"model": plan}, TARGETS["x86_64"], tmp_path / "out")
    (tmp_path / "out" / LIST).write_text(text)
    assert read_list(tmp_path / "out") == frozenset()
    write_files({"model": plan}, TARGETS["x86_64"], tmp_path / "out")
    assert read_list(tmp_path / "out")


# ---- without a compiler ----


def written(folder: Path, files: dict[str, str]) -> Path:
    """Return a folder that holds files and their list."""
    write_all(folder, {name: text.encode() for name, text in files.items()})
    (folder / "tidegate").mkdir(exist_ok=True)
    (folder / LIST).write_text(as_text(entries_of(files)))
    return folder


NAMES = ["tidegate/a.c", "tidegate/src/b.h", "src/tidegate/c.inc", "tidegate/src/deep/d_1.c"]


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    files = {name: f"// {name}\n" for name in NAMES}
    folder = written(tmp_path, files)
    assert read_list(folder) == entries_of(files)
    assert {name for _, name in entries_of(files)} == set(NAMES)
    assert {digest for digest, _ in entries_of(files)} == {sha256(text.encode()).hexdigest() for text in files.values()}
    lines = (folder / LIST).read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == sorted(NAMES)  # by name, so that a list changes little
    assert all(len(line.split("  ")[0]) == 64 for line in lines)
    assert as_text(frozenset({("b" * 64, "tidegate/a.c"), ("a" * 64, "tidegate/a.c")})).index("a" * 64) == 0


@pytest.mark.parametrize(
    "name",
    [
        "main.c",
        "tidegate/a.txt",
        "tidegate/../a.c",
        "/tidegate/a.c",
        "tidegate/é.c",
        "tidegate.c",
        "tidegate/a.c\n",
        "x/a.c",
    ],
)
def test_other_names_are_no_entries(name: str) -> None:
    assert entries_of({name: "", "tidegate/a.c": ""}) == entries_of({"tidegate/a.c": ""})


def test_what_a_list_names_is_removed_but_for_what_is_needed_changed_or_a_link(tmp_path: Path) -> None:
    names = [f"tidegate/{name}.c" for name in ("old", "needed", "changed", "soft", "hard", "large", "folder", "gone")]
    folder = written(tmp_path / "out", {name: f"// {name}\n" for name in names})
    entries = read_list(folder)
    (folder / "tidegate/changed.c").write_text("// mine\n")
    for name in ("soft", "hard", "large", "folder", "gone"):
        (folder / f"tidegate/{name}.c").unlink()
    (tmp_path / "other").write_text("// tidegate/soft.c\n")
    (folder / "tidegate/soft.c").symlink_to(tmp_path / "other")
    (tmp_path / "kept").write_text("// tidegate/hard.c\n")
    (folder / "tidegate/hard.c").hardlink_to(tmp_path / "kept")
    (folder / "tidegate/large.c").write_bytes(bytes(2**20 + 1))
    (folder / "tidegate/folder.c").mkdir()
    remove_old(folder, entries, ["tidegate/needed.c"])
    left = sorted(path.name for path in (folder / "tidegate").iterdir())
    assert left == ["changed.c", "files.txt", "folder.c", "hard.c", "large.c", "needed.c", "soft.c"]
    assert (tmp_path / "other").read_text() == "// tidegate/soft.c\n"


def test_a_file_of_a_megabyte_is_removed_and_its_folder_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path, {"tidegate/src/a.c": "x" * 2**20, "tidegate/b.c": "y", "tidegate/src/c.c": "z"})
    flushed: list[Path] = []
    monkeypatch.setattr(file_list, "flush_folder", flushed.append)
    remove_old(folder, read_list(folder), ["tidegate/b.c"])
    assert flushed == [tmp_path / "tidegate/src"]
    assert sorted(path.name for path in folder.rglob("*.c")) == ["b.c"]
    remove_old(folder, read_list(folder), ["tidegate/b.c"])  # they are gone
    remove_old(folder, frozenset({("0" * 64, "tidegate/b.c/a.c")}), [])  # no folder, but a file


def test_a_list_of_a_megabyte_is_read_and_one_byte_more_is_none(tmp_path: Path) -> None:
    (tmp_path / "tidegate").mkdir()
    line = f"{'0' * 64}  tidegate/a.c\n"
    (tmp_path / LIST).write_text(line + " " * (2**20 - len(line)))
    assert read_list(tmp_path) == {("0" * 64, "tidegate/a.c")}
    (tmp_path / LIST).write_text(line + " " * (2**20 - len(line) + 1))
    assert read_list(tmp_path) == frozenset()
    (tmp_path / LIST).unlink()
    assert read_list(tmp_path) == frozenset()
    (tmp_path / "list").write_text(line)
    (tmp_path / LIST).symlink_to(tmp_path / "list")
    assert read_list(tmp_path) == frozenset()


@pytest.mark.parametrize("place", ["a", "a/b", "a/b/c.txt"])
def test_a_link_on_the_way_to_a_file_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "real").mkdir()
    at = tmp_path / "out" / place
    at.parent.mkdir(parents=True)
    at.symlink_to(tmp_path / "real")
    refuse_links(tmp_path / "out", ["d", "x/y"])
    with pytest.raises(DeviceError) as caught:
        refuse_links(tmp_path / "out", ["d", "a/b/c.txt"])
    way = "wanted a file or folder of its own; remove it, or give another folder"
    assert str(caught.value) == f"{at}: is a link, {way}"
    (tmp_path / "soft").symlink_to(tmp_path / "real")
    refuse_links(tmp_path / "soft", ["d"])  # the folder itself may be behind a link


def test_files_are_written_with_their_folders(tmp_path: Path) -> None:
    write_all(tmp_path / "out", {"a": b"1", "b/c": b"2", "b/d/e": b"3"})
    found = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert found == {"a": b"1", "b/c": b"2", "b/d/e": b"3"}
