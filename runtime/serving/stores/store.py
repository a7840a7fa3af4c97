"""What a store of streams must do, and the record of a stream."""

import hashlib
import struct
import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from ..held_stream import Kept

MAGIC = b"TIDEHELD"
VERSION = 2  # 1 had no hashes of the model
HEAD = struct.Struct("<8sIIQ")  # magic, version, 1 if ended, position
HASHES = struct.Struct("<16s16s")  # of the model's file and of the layout of its state
COUNT = struct.Struct("<I")
KEPT = struct.Struct("<QIII")  # frame, frames, check, bytes of the answer
MOST_KEPT = 2**12  # answers of a record
OWNED = struct.Struct("<8sQ")  # magic, epoch; the record follows
OWNED_MAGIC = b"TIDEOWND"


def first_epoch() -> int:
    """Return the epoch of a new stream: the time in microseconds.

    So it is none of a stream of its name that was forgotten, whose owner may still be there. Epochs are only compared
    for being the same, so a clock that somebody sets back does no harm.
    """
    return time.time_ns() // 1000


def place_of(key: str) -> str:
    """Return what a store calls a stream: a hash, in which no name of a stream can be read."""
    return hashlib.blake2b(key.encode(), digest_size=20).hexdigest()


class StoreError(Exception):
    """The store does not answer, or holds what is no record."""


def owned(epoch: int, record: bytes) -> bytes:
    """Return a record with its owner, for stores that keep bytes."""
    return OWNED.pack(OWNED_MAGIC, epoch) + record


def owner_of(where: object, data: bytes) -> tuple[int, bytes]:
    """Read what `owned` has made: the owner, and the record.

    Raises:
        StoreError: It is none; `where` says where it is.
    """
    if len(data) < OWNED.size or not data.startswith(OWNED_MAGIC):
        raise StoreError(f"{where}: not a stream of tidegate; remove it")
    return int(OWNED.unpack_from(data)[1]), data[OWNED.size :]


@dataclass(frozen=True)
class Claim:
    """What a process finds when it takes a stream over.

    Attributes:
        epoch: The number of the new owner: one more than the last, and none that an owner had before.
        before: The number of the owner before; 0 if there was none.
        record: What the owner before stored; empty if nothing.
    """

    epoch: int
    before: int
    record: bytes


class Store(Protocol):
    """Keeps the newest record of each stream. Its calls may block; several processes use it at once.

    Every call raises StoreError or OSError if the store cannot be reached.
    """

    def claim(self, key: str, *, fresh: bool) -> Claim | None:
        """Become the owner of a stream.

        Args:
            key: The stream.
            fresh: The stream starts: what was stored is dropped.

        Returns:
            None if there is no such stream and it does not start.
        """

    def put(self, key: str, epoch: int, record: bytes) -> bool:
        """Store a record in place of the last; return False, and store nothing, if the owner is another by now."""

    def drop(self, key: str, epoch: int) -> None:
        """Forget a stream, if the owner is still the same."""

    def purge(self, seconds: float) -> int:
        """Forget the streams that were not stored for so long; return how many."""


@dataclass(frozen=True)
class Record:
    """A stream at rest.

    Attributes:
        position: The number of the frame that it takes next.
        ended: Whether its client ended it; then there is no snapshot.
        kept: Answers that its client has not acknowledged.
        snapshot: Its state.
        source: The hash of the file of its model.
        layout: The hash of the layout of its state.
    """

    position: int
    ended: bool
    kept: deque[Kept]
    snapshot: bytes
    source: bytes = bytes(16)
    layout: bytes = bytes(16)

    def to_bytes(self) -> bytes:
        """Return the record as bytes."""
        parts = [HEAD.pack(MAGIC, VERSION, self.ended, self.position), HASHES.pack(self.source, self.layout)]
        parts.append(COUNT.pack(len(self.kept)))
        for kept in self.kept:
            parts += [KEPT.pack(kept.frame, kept.frames, kept.check, len(kept.payload)), kept.payload]
        return b"".join([*parts, self.snapshot])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Record":
        """Read a record.

        Raises:
            StoreError: It is none, or is cut off.
        """
        try:
            magic, version, ended, position = HEAD.unpack_from(data)
            if magic != MAGIC or version not in (1, VERSION) or ended > 1:
                raise StoreError(f"the record begins with {magic!r} and version {version}, wanted {MAGIC!r}, {VERSION}")
            hashes = HASHES.unpack_from(data, HEAD.size) if version > 1 else ()
            at, answers = HEAD.size + (HASHES.size if hashes else 0), deque[Kept]()
            (count,) = COUNT.unpack_from(data, at)
            if count > MOST_KEPT:
                raise StoreError(f"the record has {count} answers, at most {MOST_KEPT} are allowed")
            at += COUNT.size
            for _ in range(count):
                frame, frames, check, size = KEPT.unpack_from(data, at)
                at += KEPT.size
                if at + size > len(data):
                    raise StoreError(f"the record ends within an answer of {size} bytes")
                answers.append(Kept(frame, frames, check, data[at : at + size]))
                at += size
        except struct.error as error:
            raise StoreError(f"the record is cut off ({error})") from None
        return cls(position, bool(ended), answers, data[at:], *hashes)
