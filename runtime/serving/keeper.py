"""Carries records between an engine and its store, in a thread of its own: the engine never waits for a disk."""

import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .stores.store import Claim, Store, StoreError


@dataclass(frozen=True)
class Claimed:
    """A claim that was answered.

    Attributes:
        key: The stream.
        claim: What was found; None: there is no such stream.
        error: Why the store did not answer; empty if it did.
    """

    key: str
    claim: Claim | None = None
    error: str = ""


@dataclass(frozen=True)
class Stored:
    """A record that was put.

    Attributes:
        key: The stream.
        position: Its position in the record.
        epoch: The owner that stored it.
        owned: False: another process has claimed the stream, and nothing was stored.
        error: Why the store did not answer; empty if it did.
    """

    key: str
    position: int
    epoch: int
    owned: bool = False
    error: str = ""


@dataclass(frozen=True)
class _Put:
    epoch: int
    position: int
    record: bytes


class Keeper:
    """A queue to a store. Calls about a stream reach the store in their order; of several records the newest.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wake: Callable[[], None] | None = None
        self._results: deque[Claimed | Stored] = deque()
        self._woken = False
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._newest: dict[str, _Put] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="tidegate store", daemon=True)

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to work; `wake` is called from the keeper's thread when there are results."""
        self._wake = wake
        self._thread.start()

    def results(self) -> list[Claimed | Stored]:
        """Take what the store has answered since the last call."""
        self._woken = False
        found = []
        while self._results:
            found.append(self._results.popleft())
        return found

    def claim(self, key: str, *, fresh: bool) -> None:
        """Ask for a stream, as `Store.claim` does; the result is a Claimed."""
        self._jobs.put(lambda: self._claim(key, fresh=fresh))

    def put(self, key: str, epoch: int, position: int, record: bytes) -> None:
        """Store a record, as `Store.put` does; the result is a Stored, unless a newer one comes first."""
        with self._lock:
            waits = key in self._newest
            self._newest[key] = _Put(epoch, position, record)
        if not waits:
            self._jobs.put(lambda: self._put(key))

    def drop(self, key: str, epoch: int) -> None:
        """Forget a stream, as `Store.drop` does; there is no result."""
        self._jobs.put(lambda: self._drop(key, epoch))

    def purge(self, seconds: float) -> None:
        """Forget streams that were left long ago, as `Store.purge` does; there is no result."""
        self._jobs.put(lambda: self._purge(seconds))

    def close(self) -> None:
        """Wait until everything is in the store, and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def work(self) -> None:
        """Do what waits, in this thread: for tests, in place of `start`."""
        self._jobs.put(None)
        self._work()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _done(self, result: Claimed | Stored) -> None:
        self._results.append(result)
        if self._wake and not self._woken:
            self._woken = True
            self._wake()

    def _claim(self, key: str, *, fresh: bool) -> None:
        try:
            self._done(Claimed(key, self._store.claim(key, fresh=fresh)))
        except (StoreError, OSError) as error:
            self._done(Claimed(key, error=str(error) or type(error).__name__))

    def _put(self, key: str) -> None:
        with self._lock:
            put = self._newest.pop(key)
        try:
            self._done(Stored(key, put.position, put.epoch, self._store.put(key, put.epoch, put.record)))
        except (StoreError, OSError) as error:
            self._done(Stored(key, put.position, put.epoch, error=str(error) or type(error).__name__))

    def _drop(self, key: str, epoch: int) -> None:
        try:
            self._store.drop(key, epoch)
        except (StoreError, OSError):
            return  # it is purged one day

    def _purge(self, seconds: float) -> None:
        try:
            self._store.purge(seconds)
        except (StoreError, OSError):
            return  # the next purge tries again
