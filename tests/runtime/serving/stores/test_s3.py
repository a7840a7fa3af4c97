"""What only the store in S3 has; test_redis.py tries what all stores have in common."""

import signal as signals
from collections.abc import Iterator

import pytest
from tidegate.runtime.errors import ServerError
from tidegate.runtime.serving.stores.store import Claim, StoreError, place_of
from tools.s3_server import s3_server

pytest.importorskip("obstore")
from obstore.store import S3Store as Bucket
from tidegate.runtime.serving.stores import s3
from tidegate.runtime.serving.stores.s3 import S3Store

URL = "s3://bucket/of/streams"


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with s3_server():
        yield


def test_an_owner_that_is_overtaken_between_reading_and_writing_stores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = S3Store(URL), S3Store(URL)
    claim = one.claim("overtaken", fresh=True)
    assert claim is not None
    read = one._read

    def overtaken(key: str) -> tuple[str | None, int, bytes]:
        found = read(key)
        if found[1] == claim.epoch:
            assert two.claim(key, fresh=False) is not None
        return found

    monkeypatch.setattr(one, "_read", overtaken)
    assert not one.put("overtaken", claim.epoch, b"late")
    assert two._read("overtaken")[1:] == (claim.epoch + 1, b"")


def test_a_claim_that_is_overtaken_comes_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = S3Store(URL), S3Store(URL)
    read = one._read
    found: list[Claim] = []

    def overtaken(key: str) -> tuple[str | None, int, bytes]:
        was = read(key)
        if not found:
            taken = two.claim(key, fresh=True)
            assert taken is not None
            found.append(taken)
        return was

    monkeypatch.setattr(one, "_read", overtaken)
    claim = one.claim("claimed twice", fresh=True)
    assert claim is not None
    assert (claim.epoch, claim.before) == (found[0].epoch + 1, found[0].epoch)


def test_what_is_no_stream_is_named_and_no_name_is_in_the_bucket() -> None:
    store = S3Store(URL)
    store._bucket.put(place_of("strange"), b"something else")
    with pytest.raises(StoreError, match="not a stream of tidegate; remove it"):
        store.claim("strange", fresh=True)
    store.claim("secret-name", fresh=True)
    names = {str(one["path"]) for some in store._bucket.list() for one in some}
    assert place_of("secret-name") in names
    assert all(len(name) == 40 or name == s3.PROBE for name in names)
    assert store.purge(1.0) == 0


def test_a_bucket_that_is_not_there_and_one_without_conditions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ServerError,
        match=r"^s3://none/x: no bucket takes records \(Server returned .*404 Not Found\); make it, or name another$",
    ):
        S3Store("s3://none/x")
    put = Bucket.put
    monkeypatch.setattr(Bucket, "put", lambda self, place, data, **_: put(self, place, data))
    with pytest.raises(ServerError, match="so a stream might have two owners; name another store"):
        S3Store(URL)


def test_a_server_that_is_late_or_gone_is_a_store_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3, "PATIENCE", 0.3)
    with s3_server() as process:
        store = S3Store(URL)
        claim = store.claim("late", fresh=True)
        assert claim is not None
        process.send_signal(signals.SIGSTOP)
        for call in (lambda: store.put("late", claim.epoch, b"x"), lambda: store.claim("other", fresh=True)):
            with pytest.raises(StoreError, match=r"^S3: "):
                call()
        process.send_signal(signals.SIGCONT)
        assert S3Store(URL).put("late", claim.epoch, b"x")
        process.kill()
        process.wait()
        with pytest.raises(StoreError, match=r"^S3: HTTP error: error sending request$"):
            store.put("late", claim.epoch, b"x")
