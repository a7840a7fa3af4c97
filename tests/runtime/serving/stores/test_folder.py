"""The store in a folder: purges, processes that write at once, and those that are killed."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from tidegate.runtime.serving.stores import folder
from tidegate.runtime.serving.stores.folder import FolderStore
from tidegate.runtime.serving.stores.store import StoreError
from tools.serving import Clock


def test_what_was_left_long_ago_is_purged(tmp_path: Path) -> None:
    clock = Clock()
    store = FolderStore(tmp_path, clock)
    owned = {name: store.claim(name, fresh=True) for name in ("old", "new")}
    (tmp_path / "streams" / "part.123").write_bytes(b"of a process that was killed")
    for clock.now in (0.0, 50.0):
        assert store.purge(50) == 0
    assert owned["new"] is not None
    assert store.put("new", owned["new"].epoch, b"written anew")
    clock.now = 51.0

    assert store.purge(50) == 1
    assert store.claim("old", fresh=False) is None
    assert store.claim("new", fresh=False)
    assert len(list((tmp_path / "streams").iterdir())) == 1


@pytest.mark.parametrize(("same", "purged"), [(True, 1), (False, 0)])
def test_the_time_of_a_record_goes_on_in_the_next_process_until_the_machine_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, purged: int, *, same: bool
) -> None:
    boot, clock = tmp_path / "boot", Clock()
    boot.write_text("first")
    monkeypatch.setattr(folder, "BOOT", boot)
    FolderStore(tmp_path, clock).claim("s", fresh=True)
    for clock.now in (0.0, 30.0):
        assert FolderStore(tmp_path, clock).purge(50) == 0
    boot.write_text("first" if same else "second")
    clock.now = 51.0
    assert FolderStore(tmp_path, clock).purge(50) == purged


def test_damaged_notes_are_no_notes(tmp_path: Path) -> None:
    FolderStore(tmp_path).claim("s", fresh=True)
    (tmp_path / "seen").write_text("[")
    assert FolderStore(tmp_path).purge(50) == 0
    assert FolderStore(tmp_path).purge(50) == 0


@pytest.mark.parametrize("seconds", [1.0, 3600.0, 3.2e7, -3600.0, -3.2e7])
def test_row_252_a_date_does_not_make_a_stream_old(tmp_path: Path, seconds: float) -> None:
    """The clock was set between the writing of a record and a purge, also before this process began."""
    FolderStore(tmp_path).claim("s", fresh=True)
    clock = Clock()
    store = FolderStore(tmp_path, clock)
    for clock.now in (0.0, 40.0):
        when = time.time() - seconds
        os.utime(store._path("s"), (when, when))
        assert store.purge(50) == 0
    clock.now = 91.0
    assert store.purge(50) == 1


def test_a_file_that_is_no_stream_is_refused(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store._path("s").write_bytes(b"junk")
    with pytest.raises(StoreError, match="not a stream of tidegate; remove it"):
        store.claim("s", fresh=True)
    store._path("s").unlink()
    assert store.claim("s", fresh=True) is not None


def claim_often(folder: Path, times: int, found: "multiprocessing.Queue[list[int]]") -> None:
    store, epochs = FolderStore(folder), []
    for _ in range(times):
        claim = store.claim("s", fresh=True)
        assert claim is not None
        epochs.append(claim.epoch)
    found.put(epochs)


def test_processes_that_claim_at_once_get_epochs_of_their_own(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[list[int]] = context.Queue()
    workers = [context.Process(target=claim_often, args=(tmp_path, 100, found)) for _ in range(2)]
    for worker in workers:
        worker.start()
    epochs = [epoch for _ in workers for epoch in found.get(timeout=60)]
    for worker in workers:
        worker.join()

    assert sorted(epochs) == list(range(min(epochs), min(epochs) + 200))


def write_for_ever(folder: Path, epoch: int) -> None:
    store, count = FolderStore(folder), 0
    while True:
        count += 1
        store.put("s", epoch, count.to_bytes(8, "little") * 5000)


def test_a_process_that_is_killed_leaves_a_whole_record_and_no_lock(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    context = multiprocessing.get_context("spawn")
    claim = store.claim("s", fresh=True)
    for first in (True, False, False):
        assert claim is not None
        worker = context.Process(target=write_for_ever, args=(tmp_path, claim.epoch))
        worker.start()
        while first and not store._read(store._path("s"))[1]:
            os.sched_yield()
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join()
        before, claim = claim, store.claim("s", fresh=False)
        assert claim is not None
        assert claim.before == before.epoch
        assert claim.record == claim.record[:8] * 5000
