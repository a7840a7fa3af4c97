"""The doors in Python refuse changed files by an error of tidegate's, or take them; other cases each day."""

import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from fuzzing import guard
from fuzzing.campaign import AIMS, HERE, MOST_KEPT, cases_of, lines_of, noted
from fuzzing.doors import DOORS, corpus_of, entered
from fuzzing.guard import tried
from kernels.building import run
from tidegate.runtime.errors import ModelError

CASES = {"onnx": 200, "lift": 3}  # others are read in no time
TODAY = int(f"{datetime.now(UTC):%Y%m%d}") * 1000


@pytest.mark.parametrize("door", DOORS)
def test_changed_files_are_refused_or_taken(door: str) -> None:
    done = tried(door, range(TODAY, TODAY + CASES.get(door, 500)))
    print(door, done)
    assert done.findings == {}


@pytest.mark.parametrize("door", DOORS)
def test_what_a_door_is_started_from_is_whole_and_its_findings_are_mended(door: str) -> None:
    """What is refused at the first look would lead no change further."""
    said = [entered(door, start) for start in DOORS[door].starts()]
    assert set(said) <= {"taken", "refused"}
    assert said.count("taken") >= len(said) / 2
    for path in corpus_of(door).glob("found-*"):
        assert entered(door, path.read_bytes()) in ("taken", "refused"), path.name


@pytest.mark.parametrize("door", DOORS)
def test_the_corpus_is_small(door: str) -> None:
    sizes = [path.stat().st_size for path in corpus_of(door).glob("[!f]*")]
    assert len(sizes) <= MOST_KEPT
    assert sum(sizes) < 500_000


def test_every_run_is_in_the_ledger_and_goes_on_where_the_last_one_stopped() -> None:
    at: dict[tuple[str, str], int] = {}
    for one in noted():
        key = one["door"], one["way"]
        assert one["first"] == at.get(key, 0), one
        at[key] = one["first"] + one["cases"]
        assert one["cases"] == one["refused"] + one["taken"] + one["findings"], one
    assert {door for door, _ in at} == set(DOORS)
    assert all(cases_of(door) >= 10**4 for door in DOORS if door not in AIMS)


def test_another_error_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception) -> None:
        raise error

    for error, said in ((ModelError("no"), "refused"), (KeyError("x"), "KeyError: 'x'")):
        monkeypatch.setitem(DOORS, "npy", DOORS["npy"]._replace(enter=lambda _: fail(error)))  # noqa: B023  at once
        assert entered("npy", b"") == said


def test_what_takes_too_long_hangs_ends_the_process_or_takes_all_memory_is_a_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spin() -> None:
        until = time.process_time() + 0.02
        while time.process_time() < until:
            pass

    def busy() -> None:
        while True:
            pass

    ways = [spin, lambda: bytearray(2**33), lambda: os.kill(os.getpid(), 9), signal.pause, busy]
    monkeypatch.setattr(guard, "SILENT", 0.5)
    monkeypatch.setattr(guard, "BUSY", 0.1)
    monkeypatch.setattr(guard, "case", lambda _door, number: bytes([number]))
    odd = DOORS["npy"]._replace(enter=lambda data: ways[data[0]]() if data[0] < len(ways) else None, seconds=0.01)
    monkeypatch.setitem(DOORS, "npy", odd)
    done = tried("npy", range(7))
    assert (done.cases, done.taken) == (7, 2)
    assert [said.split(":")[0] for said in done.findings.values()] == [
        "slow",
        "MemoryError",
        "ended the process, status -9",
        "hangs",
        "hangs",
    ]


def test_atheris_reaches_new_lines_and_counts_its_cases(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    found, counts = tmp_path / "found", tmp_path / "counts"
    found.mkdir()
    np.zeros(len(guard.COUNTED), np.int64).tofile(counts)
    (found / "whole").write_bytes(DOORS["reply"].starts()[0])
    run(sys.executable, HERE / "guided.py", "reply", counts, found, "-runs=300", "-seed=1")
    cases, refused, taken = np.fromfile(counts, np.int64)
    assert 300 <= cases == refused + taken
    assert len([*found.iterdir()]) > 3


def test_lines_that_an_input_reaches_are_those_of_tidegate() -> None:
    good, bad = lines_of("npy", DOORS["npy"].starts()[0]), lines_of("npy", b"")
    assert all("runtime" in file for file, _ in good | bad)
    assert good - bad
    assert bad - good
