"""All stores: owners, fences, and streams that were forgotten; and what only the one in Redis has."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.errors import ServerError
from tidegate.runtime.serving.stores.folder import FolderStore
from tidegate.runtime.serving.stores.opening import open_store
from tidegate.runtime.serving.stores.store import Claim, Store, StoreError
from tools.redis_server import redis_server
from tools.s3_server import s3_server
from tools.serving import alone, served, signal, small_plan

pytest.importorskip("redis")
from tidegate.runtime.serving.stores.redis import RedisStore

Opens = Callable[[], Store]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as (_, where):
        yield where


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server():
        yield "s3://bucket/streams"


@pytest.fixture(params=["folder", "redis", "s3"])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Opens:
    """A function that opens one store, as each of several processes does."""
    if request.param == "folder":
        return lambda: FolderStore(tmp_path)
    if request.param == "s3":
        within = f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
        return lambda: open_store(within)
    where = request.getfixturevalue("url")
    RedisStore(where)._client.flushall()
    return lambda: RedisStore(where)


def epoch_of(claim: Claim | None) -> int:
    assert claim is not None
    return claim.epoch


def test_the_newest_owner_stores_and_the_one_before_cannot(opens: Opens) -> None:
    one, two = opens(), opens()
    assert one.claim("s", fresh=False) is None
    first = epoch_of(one.claim("s", fresh=True))
    record = bytes(range(256)) * 5
    assert one.put("s", first, record)
    assert two.claim("s", fresh=False) == Claim(first + 1, first, record)
    assert not one.put("s", first, b"late")
    one.drop("s", first)
    assert two.put("s", first + 1, b"second")
    assert one.claim("s", fresh=False) == Claim(first + 2, first + 1, b"second")
    assert one.claim("s", fresh=True) == Claim(first + 3, first + 2, b"")


def test_row_235_the_owner_of_a_stream_that_was_forgotten_cannot_store_into_the_next_of_its_name(opens: Opens) -> None:
    store = opens()
    first = epoch_of(store.claim("s", fresh=True))
    store.drop("s", first)
    store.drop("s", first)
    assert not store.put("s", first, b"late")
    assert store.claim("s", fresh=False) is None
    assert epoch_of(store.claim("s", fresh=True)) > first
    assert not store.put("s", first, b"late")


def test_streams_of_other_names_are_others(opens: Opens) -> None:
    store = opens()
    names = ("a", "b", "../../etc/passwd", "ü" * 60, "a\0b")
    epochs = {name: epoch_of(store.claim(name, fresh=True)) for name in names}
    assert all(store.put(name, epoch, name.encode()) for name, epoch in epochs.items())
    assert [store.claim(name, fresh=False) for name in names] == [
        Claim(epochs[name] + 1, epochs[name], name.encode()) for name in names
    ]


def test_owners_that_claim_at_once_get_epochs_of_their_own(opens: Opens) -> None:
    found: list[int] = []
    store = opens()
    claims = [lambda: found.extend(epoch_of(store.claim("s", fresh=True)) for _ in range(15))] * 4
    threads = [threading.Thread(target=claim) for claim in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(min(found), min(found) + 60))


def test_redis_forgets_what_was_left_long_ago(url: str) -> None:
    store = RedisStore(url, seconds=50)
    store._client.flushall()
    epoch = epoch_of(store.claim("s", fresh=True))
    (key,) = store._client.keys()
    assert key.startswith(b"tidegate:")
    store._client.persist(key)
    store.put("s", epoch, b"x")
    assert 0 < store._client.ttl(key) <= 50
    assert store.purge(1.0) == 0


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(ServerError, match=r"^localhost:1/0: no Redis server answers .*; start it, or name another"):
        RedisStore("redis://user:secret@localhost:1/0")
    with pytest.raises(ServerError, match="no Redis server answers"):
        RedisStore("http://localhost")


def test_a_server_that_goes_away_is_a_store_that_does_not_answer(tmp_path: Path) -> None:
    with redis_server(tmp_path) as (process, where):
        store = RedisStore(where)
        process.kill()
        process.wait()
        with pytest.raises(StoreError, match="Redis: "):
            store.claim("s", fresh=True)


@pytest.mark.parametrize("where", ["url", "bucket"])
def test_row_194_streams_of_a_server_that_is_killed_go_on_from_a_store_elsewhere(
    tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("picows")
    pytest.importorskip("websockets")
    from tidegate.runtime.serving.client.blocking import Stream

    (tmp_path / "small.tide").write_bytes(small_plan())
    common, frames = (tmp_path / "small.tide", "--store", request.getfixturevalue(where), "--every", 4), signal(20)
    with served(*common) as (first, port), served(*common) as (_, other):
        doors = [f"ws://127.0.0.1:{number}/small" for number in (port, other)]
        with Stream(doors) as stream:
            found = np.asarray(stream.push(frames[:9])).tobytes()
            found += np.asarray(stream.push(frames[9:11])).tobytes()
            first.kill()
            found += np.asarray(stream.push(frames[11:])).tobytes()
            stream.finish()
    assert found == alone(frames)
