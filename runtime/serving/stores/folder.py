"""A store in a folder, for processes that share a file system: one file per stream."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .store import OWNED, Claim, first_epoch, owned, owner_of, place_of

LOCKS = 64  # files that are locked; a stream has one of them
MOST_BYTES = 2**28  # of a file
BOOT = Path("/proc/sys/kernel/random/boot_id")  # changes whenever a monotonic clock begins anew


class FolderStore:
    """Records in files of a folder.

    A file is replaced as a whole, so that it is the old one or the new one whenever the process is killed. A write is
    handed to the operating system, not to the disk: it outlives the process, not a power failure.

    Args:
        folder: The folder; it is made if it is not there. Its file system must have `flock`, as local ones do.
        clock: Gives the time in seconds, never less than before.

    Raises:
        OSError: The folder cannot be made or written.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        for part in ("streams", "locks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        self._seen = self._noted()  # of each file, which one it is, and since when

    def claim(self, key: str, *, fresh: bool) -> Claim | None:
        """Become the owner of a stream, as `Store.claim` says."""
        path = self._path(key)
        with self._locked(path):
            before, record = self._read(path)
            if not (fresh or before):
                return None
            claim = Claim(before + 1 if before else first_epoch(), before, b"" if fresh else record)
            _replace(path, owned(claim.epoch, claim.record))
        return claim

    def put(self, key: str, epoch: int, record: bytes) -> bool:
        """Store a record, as `Store.put` says."""
        path = self._path(key)
        with self._locked(path):
            if self._epoch(path) != epoch:
                return False
            _replace(path, owned(epoch, record))
        return True

    def drop(self, key: str, epoch: int) -> None:
        """Forget a stream, as `Store.drop` says."""
        path = self._path(key)
        with self._locked(path):
            if self._epoch(path) == epoch:
                path.unlink()

    def purge(self, seconds: float) -> int:
        """Forget the streams that were not stored for so long, and what processes left that were killed.

        The time counts from the first purge that saw the record, of this process or of one before it since the machine
        started: the dates of files follow a clock that somebody may set, and a year forward would forget every stream.
        """
        now, before, count = self._clock(), self._seen, 0
        self._seen = {}
        for path in (self._folder / "streams").iterdir():
            with self._locked(path), suppress(FileNotFoundError):
                found = path.stat()
                which = found.st_ino, found.st_mtime_ns  # each write makes another file
                known, since = before.get(path, (which, now))
                since = since if known == which else now
                if now - since > seconds:
                    path.unlink()
                    count += not path.suffix
                else:
                    self._seen[path] = which, since
        self._note()
        return count

    def _note(self) -> None:
        """Write down what was seen, for the process that comes after this one."""
        seen = [(path.name, *which, since) for path, (which, since) in self._seen.items()]
        _replace(self._folder / "seen", json.dumps([_boot(), seen]).encode())

    def _noted(self) -> dict[Path, tuple[tuple[int, int], float]]:
        """Return what a process before this one saw, if the clock is still the same."""
        streams = self._folder / "streams"
        try:
            boot, seen = json.loads((self._folder / "seen").read_text())
            known = {streams / name: ((file, written), since) for name, file, written, since in seen}
        except (FileNotFoundError, TypeError, ValueError):
            return {}
        return known if boot == _boot() != "" else {}

    def _path(self, key: str) -> Path:
        return self._folder / "streams" / place_of(key)

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Hold the lock of a stream, which ends with the process too."""
        place = int(hashlib.blake2b(path.stem.encode(), digest_size=2).hexdigest(), 16) % LOCKS
        with (self._folder / "locks" / str(place)).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _read(self, path: Path) -> tuple[int, bytes]:
        """Return the epoch and the record of a file; 0 if there is none."""
        try:
            with path.open("rb") as file:
                data = file.read(MOST_BYTES)
        except FileNotFoundError:
            return 0, b""
        return owner_of(path, data)

    def _epoch(self, path: Path) -> int:
        try:
            with path.open("rb") as file:
                return owner_of(path, file.read(OWNED.size))[0]
        except FileNotFoundError:
            return 0


def _replace(path: Path, data: bytes) -> None:
    part = path.with_suffix(f".{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)


def _boot() -> str:
    """Return what names this start of the machine; empty if nothing does."""
    return BOOT.read_text() if BOOT.exists() else ""
