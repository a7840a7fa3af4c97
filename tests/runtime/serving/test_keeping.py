"""An engine with a store: streams go on in another process with the same bits, and never in two at once."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.runtime.load import load
from tidegate.runtime.serving.generation import Generation
from tidegate.runtime.serving.keeper import Keeper
from tidegate.runtime.serving.keeping import KeepingEngine
from tidegate.runtime.serving.requests import Limits
from tidegate.runtime.serving.served_model import ServedModel
from tidegate.runtime.serving.stores.folder import FolderStore
from tidegate.runtime.serving.stores.store import Claim, StoreError
from tools.serving import Client, Clock, MemoryStore, alone, signal, small_model, small_plan


class Node:
    """An engine with a store, as a process has it."""

    def __init__(self, store: object, clock: Clock | None = None, **limits: object) -> None:
        self.keeper = Keeper(store)  # type: ignore[arg-type]
        wanted = Limits(**{"streams": 8, "every": 4, **limits})  # type: ignore[arg-type]
        self.engine = KeepingEngine(small_model(), self.keeper, wanted, clock or Clock())

    def settle(self) -> None:
        """Let store and engine do everything that waits."""
        for _ in range(4):
            self.keeper.work()
            self.engine.collect()
            while self.engine.waits:
                self.engine.tick()

    def send(self, client: Client, chunk: object = None, **fields: object) -> None:
        self.engine.submit(client.request(chunk, **fields))  # type: ignore[arg-type]
        self.settle()


def test_row_194_a_stream_goes_on_in_another_process_from_its_snapshot() -> None:
    store, client, frames = MemoryStore(), Client(), signal(20)
    first, second = Node(store), Node(store)
    first.send(client, frames[:6], frame=0, start=True)
    first.send(client, frames[6:8], frame=6)
    assert client.last.durable == 6
    first.send(client, frames[8:9], frame=8)
    del first  # killed: frames 6 to 8 were not stored
    second.send(client, ask=True)
    assert (client.last.frame, client.last.durable) == (6, 6)
    client.replies.pop()
    before = client.answers
    second.send(client, frames[6:8], frame=6)
    second.send(client, frames[8:9], frame=8)
    assert client.replies[-2].payload + client.last.payload == before[6 * 12 :]
    second.send(client, frames[9:], frame=9)

    assert before + client.last.payload == alone(frames)
    assert second.engine.counters.restored == 1


def test_row_243_a_flood_of_names_that_nobody_knows_shuts_no_other_out() -> None:
    """The store does not answer meanwhile: half of the places are for streams that start, and the queue is short."""
    node, flood, other, frames = Node(MemoryStore()), Client(), Client(name="other"), signal(8)
    for number in range(1000):
        flood.name = f"u{number}"
        node.engine.submit(flood.request(ask=True))
    assert node.engine.streams == 4
    assert flood.refusals == ["busy"] * 996
    assert "4 streams are fetched from the store" in str(flood.last.refused)
    node.engine.submit(other.request(frames[:4], frame=0, start=True))
    node.settle()
    node.send(other, frames[4:], frame=4)
    assert other.answers == alone(frames)
    assert flood.refusals == ["busy"] * 996 + ["unknown"] * 4
    flood.name = "u5"
    node.send(flood, ask=True)
    assert flood.refusals[-1] == "unknown"
    assert node.engine.streams == 1


def test_an_answer_that_was_lost_with_the_process_is_answered_again_elsewhere() -> None:
    store, client, frames = MemoryStore(), Client(), signal(8)
    first, second = Node(store), Node(store)
    first.send(client, frames[:4], frame=0, start=True)
    lost = client.replies.pop()
    second.send(client, frames[:4], frame=0)

    assert client.last.payload == lost.payload
    assert second.engine.counters.frames == 0


def test_row_195_a_process_that_lost_a_stream_cannot_store_it_and_says_moved() -> None:
    store, client, frames = MemoryStore(), Client(), signal(20)
    old, new = Node(store), Node(store)
    old.send(client, frames[:4], frame=0, start=True)
    new.send(client, frames[4:8], frame=4)
    assert client.answers == alone(frames[:8])
    old.send(client, frames[4:8], frame=4)
    assert old.engine.counters.fenced == 1
    assert old.engine.streams == 0
    new.send(client, frames[8:12], frame=8)
    assert client.refusals == ["", "", "", ""]
    assert client.last.payload == alone(frames[:12])[-48:]


def test_a_client_that_comes_back_finds_the_stream_where_it_left_it_elsewhere() -> None:
    """The old process still holds a stream of long ago; before it says so, it asks the store."""
    store, client, frames = MemoryStore(), Client(), signal(24)
    old, new = Node(store), Node(store)
    old.send(client, frames[:4], frame=0, start=True)
    for at in (4, 8, 12):
        new.send(client, frames[at : at + 4], frame=at)
    for at in (16, 20):
        old.send(client, frames[at : at + 4], frame=at)

    assert client.refusals == [""] * 6
    assert client.answers == alone(frames)


@settings(max_examples=40)
@given(st.data())
def test_a_client_that_wanders_among_processes_that_die_gets_the_bits_of_one_stream(data: st.DataObject) -> None:
    store, frames = MemoryStore(), signal(40)
    nodes, wanted, at = [Node(store) for _ in range(3)], alone(frames), 0
    found: dict[int, bytes] = {}
    for _ in range(30):
        place = data.draw(st.integers(0, 2))
        if data.draw(st.integers(0, 3)) == 0:
            nodes[place] = Node(store)
        client = Client()
        nodes[place].send(client, ask=True)
        at = client.last.frame if client.refusals == [""] else 0
        for _ in range(data.draw(st.integers(1, 3))):
            end = min(at + data.draw(st.integers(1, 7)), 40)
            nodes[place].send(client, frames[at:end], frame=at, start=at == 0)
            if client.last.refused is None:
                found[at] = client.last.payload
                at = end

    assert all(wanted[12 * at :].startswith(payload) for at, payload in found.items())
    assert found


def test_idle_streams_go_to_the_store_and_come_back_when_they_are_called() -> None:
    clock, client, frames = Clock(), Client(), signal(10)
    node = Node(MemoryStore(), clock, streams=1, idle=5.0)
    node.send(client, frames[:3], frame=0, start=True)
    clock.now = 6.0
    node.engine.sweep()
    node.settle()
    assert node.engine.streams == 0
    other = Client(name="other")
    node.send(other, signal(2), frame=0, start=True, end=True)
    assert other.refusals == [""]
    node.send(client, frames[3:], frame=3)

    assert client.answers == alone(frames)


def test_a_process_that_stops_stores_every_stream() -> None:
    store, clients = MemoryStore(), [Client(name=f"s{n}") for n in range(5)]
    first, second = Node(store, every=1000), Node(store)
    for n, client in enumerate(clients):
        first.send(client, signal(9, n)[:3], frame=0, start=True)
    first.engine.save_all()
    first.settle()
    for n, client in enumerate(clients):
        second.send(client, signal(9, n)[3:], frame=3)

    assert [client.answers for client in clients] == [alone(signal(9, n)) for n in range(5)]


def test_an_end_is_answered_again_in_another_process_and_then_forgotten() -> None:
    store, clock, client, frames = MemoryStore(), Clock(), Client(), signal(5)
    first, second = Node(store), Node(store, clock)
    first.send(client, frames, frame=0, start=True)
    first.send(client, frame=5, end=True)
    second.send(client, frame=5, end=True)
    assert client.refusals == ["", "", ""]
    assert second.engine.streams == 0
    clock.now = 99
    second.engine.sweep()
    second.settle()
    assert not store.records
    second.send(client, frame=5)
    assert client.refusals[-1] == "unknown"


def test_a_stream_that_starts_anew_does_not_go_on_from_an_older_one_of_its_name() -> None:
    store, client = MemoryStore(), Client()
    first, second, third = Node(store), Node(store), Node(store)
    first.send(client, signal(8, 1), frame=0, start=True)
    second.send(client, signal(2, 2), frame=0, start=True)
    third.send(client, ask=True)
    assert client.last.frame == 0
    third.send(client, signal(2, 2), frame=0)
    assert client.last.payload == alone(signal(2, 2))


def test_requests_wait_while_the_store_is_asked_but_not_without_end() -> None:
    client = Client()
    node = Node(MemoryStore(), window=2)
    for n in range(3):
        node.engine.submit(client.request(signal(1), frame=n, got=0, start=n == 0))
    assert client.refusals == ["busy"]
    node.settle()
    assert client.refusals == ["busy", "", ""]
    assert node.engine.waiting_bytes == 0


def test_a_store_that_does_not_answer_refuses_new_streams_and_keeps_old_ones() -> None:
    store, old, new, frames = MemoryStore(), Client(name="old"), Client(name="new"), signal(12)
    node = Node(store)
    node.send(old, frames[:4], frame=0, start=True)
    store.broken = True
    node.send(new, frames, frame=0, start=True)
    assert new.refusals == ["busy"]
    assert "the store does not answer (no disk)" in str(new.last.refused)
    node.send(old, ask=True)
    assert old.refusals == ["", "busy"]
    old.replies.pop()
    node.send(old, frames[4:8], frame=4)
    assert node.engine.counters.store_errors == 3
    store.broken = False
    node.send(old, frames[8:], frame=8)
    assert old.answers == alone(frames)
    assert old.last.durable == 4


@pytest.mark.parametrize("damage", ["model", "bytes"])
def test_a_record_of_another_model_or_of_none_is_refused_by_name(damage: str) -> None:
    store, client = MemoryStore(), Client()
    Node(store).send(client, signal(4), frame=0, start=True)
    node = Node(store)
    if damage == "model":
        node.engine = KeepingEngine(ServedModel.of(small_plan(1), "small"), node.keeper, Limits(streams=2))
    else:
        store.records = {key: (epoch, b"junk") for key, (epoch, _) in store.records.items()}
    node.send(client, signal(4), frame=4)

    assert client.refusals[-1] == "model"
    assert "cannot go on with this model" in str(client.last.refused)
    assert node.engine.streams == 0


@pytest.mark.parametrize("why", ["adopt", "the same file"])
def test_a_stream_goes_on_over_another_plan_of_the_same_layout_only_with_a_reason(why: str) -> None:
    """Where the user says so; and where a new version of tidegate compiled another plan from the same file."""
    store, client, frames = MemoryStore(), Client(), signal(8)
    Node(store).send(client, frames[:4], frame=0, start=True)
    node = Node(store)
    other = ServedModel.of(small_plan(1), "small")
    if why == "the same file":
        other = dataclasses.replace(other, source=small_model().source)
    node.engine = KeepingEngine(other, node.keeper, Limits(streams=2), adopts=why == "adopt")
    node.send(client, frames[4:], frame=4)

    old, new = load(small_plan()), load(small_plan(1))
    first, second = old.stream(), new.stream()
    before = np.asarray(first.push(frames[:4])).tobytes()
    second.restore(new.adopt(first.snapshot(), old.layout))
    assert client.answers == before + np.asarray(second.push(frames[4:])).tobytes()


def test_a_stream_that_was_put_away_comes_back_to_its_old_plan_after_a_swap() -> None:
    clock, client, new, frames = Clock(), Client(), Client(name="new"), signal(12)
    node = Node(MemoryStore(), clock, idle=5.0)
    node.send(client, frames[:3], frame=0, start=True)
    clock.now = 6.0
    node.engine.sweep()
    node.settle()
    for seed in (1, 2):
        node.engine.swap(Generation(ServedModel.of(small_plan(seed), "small"), 8))
    node.send(client, frames[3:], frame=3)
    node.send(new, frames, frame=0, start=True)

    assert client.answers == alone(frames)
    assert new.answers == alone(frames, small_plan(2))


def test_unknown_streams_leave_nothing_in_the_store(tmp_path: Path) -> None:
    node, client = Node(FolderStore(tmp_path)), Client()
    node.send(client, signal(4), frame=4)

    assert client.refusals == ["unknown"]
    assert str(client.last.refused) == "stream 's' is neither here nor in the store; start it at frame 0"
    assert list((tmp_path / "streams").iterdir()) == []
    assert node.engine.streams == 0
    node.send(client, signal(4), frame=0, start=True)
    assert client.last.payload == alone(signal(4))


def test_a_chunk_that_waited_as_the_stream_was_elsewhere_is_sent_where_the_answer_says() -> None:
    store, client, frames = MemoryStore(), Client(), signal(16)
    old, new = Node(store), Node(store)
    old.send(client, frames[:4], frame=0, start=True)
    new.send(client, frames[4:8], frame=4)
    late, place = Client(), Client()
    old.engine.submit(late.request(frames[4:8], frame=4, got=4))
    old.engine.submit(place.request(None, ask=True))
    old.keeper.work()
    old.engine.collect()
    assert str(late.last.refused) == "stream 's' was in another process; ask where it is"
    assert (late.refusals, place.last.frame) == (["moved"], 8)
    assert not old.engine.waits
    old.send(client, frames[8:], frame=8)
    assert client.answers == alone(frames)


def test_old_streams_are_purged_a_few_times_a_day() -> None:
    clock, store = Clock(), MemoryStore()
    node = Node(store, clock, stored=24.0)
    for now in (0.5, 1.5, 2.0, 3.0):
        clock.now = now
        node.engine.sweep()
        node.settle()

    assert store.purged == [24.0, 24.0, 24.0]  # the first at the start


def test_the_memory_store_of_these_tests_fences() -> None:
    store = MemoryStore()
    assert store.claim("s", fresh=False) is None
    assert store.claim("s", fresh=True) == Claim(1, 0, b"")
    assert store.put("s", 1, b"x")
    assert store.claim("s", fresh=False) == Claim(2, 1, b"x")
    assert not store.put("s", 1, b"y")
    store.broken = True
    with pytest.raises(StoreError):
        store.claim("s", fresh=True)
