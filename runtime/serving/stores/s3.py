"""A store in a bucket of S3, or of what speaks as it does: an object per stream, replaced only as it was read."""

import random
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store as Bucket

from ...errors import ServerError
from .store import Claim, StoreError, first_epoch, owned, owner_of, place_of

PATIENCE = 5.0  # seconds for an answer, of each try
RETRIES = 2
MOST_RACES = 100  # times that others change an object between its reading and its replacement
LONGEST_PAUSE = 0.02  # seconds before the next try
PROBE = "probe"  # the object by which conditions are tried; the others have names of 40 digits
GONE = b""  # a stream that was dropped: a deletion knows no condition everywhere


class S3Store:
    """Records in a bucket.

    Who may write there, and where it is, say the environment variables of AWS: `AWS_ACCESS_KEY_ID`,
    `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL` for another service than Amazon's.

    Args:
        url: `s3://bucket/prefix`.

    Raises:
        ServerError: The URL is none, the bucket cannot be written, or it heeds no conditions.
    """

    def __init__(self, url: str) -> None:
        patience = timedelta(seconds=PATIENCE)
        options: Any = {"timeout": patience, "connect_timeout": patience, "allow_http": True}
        retries: Any = {"max_retries": RETRIES, "retry_timeout": patience}
        try:
            self._bucket = Bucket.from_url(url, client_options=options, retry_config=retries)
            fenced = self._is_fenced()
        except (BaseError, OSError, ValueError) as error:
            raise ServerError(f"{url}: no bucket takes records ({_short(error)}); make it, or name another") from None
        if not fenced:
            raise ServerError(f"{url}: no If-Match is heeded, so a stream might have two owners; name another store")

    def claim(self, key: str, *, fresh: bool) -> Claim | None:
        """Become the owner of a stream, as `Store.claim` says."""
        for _ in _tries():
            tag, before, record = self._read(key)
            if not (fresh or before):
                return None
            claim = Claim(before + 1 if before else first_epoch(), before, b"" if fresh else record)
            if self._replace(key, tag, owned(claim.epoch, claim.record)):
                return claim
        raise StoreError("S3: others claim this stream again and again")

    def put(self, key: str, epoch: int, record: bytes) -> bool:
        """Store a record, as `Store.put` says."""
        return self._change(key, epoch, owned(epoch, record))

    def drop(self, key: str, epoch: int) -> None:
        """Forget a stream, as `Store.drop` says."""
        self._change(key, epoch, GONE)

    def purge(self, seconds: float) -> int:  # noqa: ARG002  the interface
        """Do nothing: a rule of the bucket forgets objects that were left long ago."""
        return 0

    def _change(self, key: str, epoch: int, data: bytes) -> bool:
        """Replace the object of a stream, if its owner is still the same."""
        for _ in _tries():
            tag, owner, _record = self._read(key)
            if owner != epoch:
                return False
            if self._replace(key, tag, data):
                return True
        raise StoreError("S3: others change this stream again and again")

    def _read(self, key: str) -> tuple[str | None, int, bytes]:
        """Return the tag, the owner and the record of an object; None and 0 if there is none, 0 if it was dropped."""
        try:
            found = self._bucket.get(place_of(key))
            data, tag = bytes(found.bytes()), found.meta["e_tag"]
        except FileNotFoundError:
            return None, 0, b""
        except (BaseError, OSError) as error:
            raise StoreError(f"S3: {_short(error)}") from None
        return tag, *(owner_of(key, data) if data != GONE else (0, b""))

    def _replace(self, key: str, tag: str | None, data: bytes) -> bool:
        """Write an object in place of the one with a tag, or of none; return False if another is there."""
        try:
            self._put(place_of(key), tag, data)
        except (AlreadyExistsError, PreconditionError):
            return False
        except (BaseError, OSError) as error:
            raise StoreError(f"S3: {_short(error)}") from None
        return True

    def _put(self, place: str, tag: str | None, data: bytes) -> None:
        mode: Any = "create" if tag is None else {"e_tag": tag}
        self._bucket.put(place, data, mode=mode, use_multipart=False)

    def _is_fenced(self) -> bool:
        """Write an object, and return whether both conditions keep it from being replaced."""
        self._bucket.put(PROBE, b"tidegate", use_multipart=False)
        refused = 0
        for tag in (None, '"0"'):
            try:
                self._put(PROBE, tag, b"tidegate: conditions are not heeded")
            except (AlreadyExistsError, PreconditionError):
                refused += 1
        return refused == 2


def _tries() -> Iterator[None]:
    """Count tries, with a drawn pause between two, so that of several owners none loses each race."""
    for _ in range(MOST_RACES):
        yield
        time.sleep(random.random() * LONGEST_PAUSE)  # noqa: S311  not a secret


def _short(error: Exception) -> str:
    """Return why a call failed, without the addresses that clients need not know."""
    return str(error).partition("\n")[0].rpartition(" - ")[2].partition(": <")[0]
