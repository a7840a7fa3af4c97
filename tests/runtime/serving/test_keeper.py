"""The way to a store: in a thread of its own, in order, and of several records the newest."""

import threading

from tidegate.runtime.serving.keeper import Claimed, Keeper, Stored
from tidegate.runtime.serving.stores.store import Claim
from tools.serving import MemoryStore


def test_results_come_in_order_and_wake_once() -> None:
    keeper, woken = Keeper(MemoryStore()), threading.Semaphore(0)
    keeper.claim("s", fresh=True)
    keeper.put("s", 1, 4, b"four")
    keeper.start(woken.release)
    keeper.close()

    assert woken.acquire(timeout=10)
    assert not woken.acquire(blocking=False)
    assert keeper.results() == [Claimed("s", Claim(1, 0, b"")), Stored("s", 4, 1, owned=True)]
    assert keeper.results() == []


def test_of_several_records_that_wait_the_newest_is_stored() -> None:
    store = MemoryStore()
    keeper = Keeper(store)
    keeper.claim("s", fresh=True)
    for position in (1, 2, 3):
        keeper.put("s", 1, position, bytes([position]))
    keeper.work()

    assert store.records == {"s": (1, b"\3")}
    assert keeper.results()[1:] == [Stored("s", 3, 1, owned=True)]


def test_a_store_that_does_not_answer_is_a_result() -> None:
    store = MemoryStore()
    store.broken = True
    keeper = Keeper(store)
    keeper.claim("s", fresh=True)
    keeper.put("s", 1, 4, b"four")
    keeper.drop("s", 1)
    keeper.work()

    assert keeper.results() == [Claimed("s", error="no disk"), Stored("s", 4, 1, error="no disk")]


def test_drop_and_purge_reach_the_store() -> None:
    store = MemoryStore()
    keeper = Keeper(store)
    keeper.claim("s", fresh=True)
    keeper.drop("s", 1)
    keeper.purge(5.0)
    keeper.work()

    assert store.records == {}
    assert store.purged == [5.0]
