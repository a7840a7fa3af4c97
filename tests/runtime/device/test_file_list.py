"""The list of the engine's files in a device folder: old ones go, and no other file is touched."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.device.file_list import LIST, entries_of, read_list, remove_old
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
