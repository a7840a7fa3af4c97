"""The engine of the server: streams by name, pushed together, each with its own bits; what is refused, and why."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.runtime.load import load
from tidegate.runtime.serving.engine import Engine
from tidegate.runtime.serving.requests import Limits, Why
from tidegate.runtime.serving.served_model import ServedModel
from tools.serving import (
    FEATURES,
    Client,
    Clock,
    alone,
    ids_plan,
    overflowing_plan,
    signal,
    small_model,
)


def engine(clock: Callable[[], float] = lambda: 0.0, **limits: object) -> Engine:
    return Engine(small_model(), Limits(**{"streams": 8, **limits}), clock)  # type: ignore[arg-type]


def started(held: Engine, client: Client, frames: int = 4) -> None:
    """Start a stream with the first frames of its signal."""
    held.submit(client.request(signal(frames), frame=0, start=True))
    held.tick()
    assert client.last.refused is None


@settings(max_examples=50)
@given(st.data())
def test_streams_that_are_interleaved_in_any_cuts_answer_as_each_alone(data: st.DataObject) -> None:
    held = engine()
    clients = [Client(name=f"s{n}") for n in range(data.draw(st.integers(1, 6)))]
    signals = [signal(20, n) for n in range(len(clients))]
    cuts = [sorted({0, 20, *data.draw(st.lists(st.integers(0, 20), max_size=5))}) for _ in clients]
    chunks = [list(pairwise(cut)) for cut in cuts]
    while any(chunks):
        place = data.draw(st.sampled_from([n for n, left in enumerate(chunks) if left]))
        start, end = chunks[place].pop(0)
        frames = signals[place][start:end]
        held.submit(clients[place].request(frames, frame=start, start=start == 0, end=end == 20, got=start))
        if data.draw(st.booleans()):
            held.tick()
    while held.waits:
        held.tick()

    assert [client.answers for client in clients] == [alone(frames) for frames in signals]
    assert held.streams == 0
    assert held.waiting_bytes == 0


def test_one_push_takes_the_chunks_of_all_streams_that_wait() -> None:
    held = engine()
    clients = [Client(name=f"s{n}") for n in range(8)]
    for client in clients:
        held.submit(client.request(signal(5), frame=0, start=True))
    held.tick()

    assert held.counters.pushes == 1
    assert held.counters.chunks == 8
    assert not held.waits


def test_row_190_a_duplicate_is_answered_again_without_a_step_of_the_stream() -> None:
    held, client = engine(), Client()
    frames = signal(12)
    started(held, client)
    for at in (4, 4, 0, 8, 4):
        held.submit(client.request(frames[at : at + 4], frame=at, got=0))
        held.tick()

    assert held.counters.frames == 12
    first, *rest = (client.replies[n] for n in (1, 2, 5))
    assert all(reply.payload == first.payload and reply.frame == 4 for reply in rest)
    assert client.replies[3].payload == client.replies[0].payload
    assert b"".join(client.replies[n].payload for n in (0, 1, 4)) == alone(frames)


def test_a_duplicate_of_a_chunk_that_waits_takes_its_place() -> None:
    """A client that lost its connection asks again: the reply goes to the new one."""
    held, lost, back = engine(), Client(), Client()
    held.submit(lost.request(signal(4), frame=0, start=True))
    held.submit(back.request(signal(4), frame=0, start=True))
    held.tick()

    assert lost.replies == []
    assert back.answers == alone(signal(4))
    assert held.counters.frames == 4


def test_other_values_at_the_place_of_an_answered_chunk_are_no_duplicate() -> None:
    held, client = engine(), Client()
    started(held, client)
    held.submit(client.request(signal(4, seed=2), frame=0, got=0))

    assert client.refusals[-1] == "stale"
    assert "wants frame 4 next; frame 0 was answered, and answers are kept from frame 0 on" in str(client.last.refused)


def test_row_190_a_gap_is_refused_by_name_and_changes_nothing() -> None:
    held, client = engine(), Client()
    started(held, client)
    held.submit(client.request(signal(4), frame=9))

    assert client.refusals[-1] == "gap"
    assert str(client.last.refused) == "stream 's' wants frame 4 next, not 9; send the frames between first"
    assert client.last.frame == 4
    held.submit(client.request(signal(12)[4:], frame=4))
    held.tick()
    assert client.replies[0].payload + client.last.payload == alone(signal(12))


@pytest.mark.parametrize(
    ("fields", "why", "text"),
    [
        ({"frame": 3}, Why.unknown, "stream 's' is not here: it was never started, .*; start it at frame 0"),
        ({"frame": 3, "start": True}, Why.format, "a stream starts at frame 0, not 3"),
        ({"frame": 2**63}, Why.format, "below 2\\^63"),
        ({"name": ""}, Why.format, "1 to 64 bytes of printable UTF-8"),
        ({"name": "x" * 65}, Why.format, "1 to 64 bytes of printable UTF-8"),
        ({"name": "a\nb"}, Why.format, "1 to 64 bytes of printable UTF-8"),
        ({"frames": 1025, "start": True}, Why.size, "the chunk has 1025 frames, at most 1024 are allowed"),
        ({"frames": 3, "start": True}, Why.size, "the chunk has 0 bytes, wanted 72: 3 frames of 24 bytes"),
    ],
)
def test_a_request_that_no_stream_can_take_is_refused_by_name(fields: dict[str, object], why: Why, text: str) -> None:
    held, client = engine(), Client()
    held.submit(client.request(None, **fields))

    assert client.last.refused is not None
    assert client.last.refused.why == why
    with pytest.raises(Exception, match=text):
        raise client.last.refused
    assert held.streams == 0
    assert held.counters.refused[why.name] == 1


def test_a_name_that_is_no_unicode_is_refused() -> None:
    held, client = engine(), Client(name="\ud800")
    held.submit(client.request(signal(1), start=True))

    assert client.refusals == ["format"]


def test_a_stream_belongs_to_its_owner() -> None:
    held, mine, yours = engine(), Client("me"), Client("you")
    started(held, mine)
    held.submit(yours.request(signal(4), frame=4))
    assert yours.refusals == ["unknown"]
    held.submit(yours.request(signal(4), frame=0, start=True))
    held.tick()

    assert held.streams == 2
    assert yours.last.payload == alone(signal(4))


def test_a_refused_value_changes_neither_its_stream_nor_its_neighbours() -> None:
    served = ServedModel.of(overflowing_plan(), "two")
    held = Engine(served, Limits(streams=4))
    good, bad = Client(name="good"), Client(name="bad")
    frames = signal(12)
    poison = frames[4:8].copy()
    poison[2, 1] = np.nan
    for client in (good, bad):
        held.submit(client.request(frames[:4], frame=0, start=True))
    held.tick()
    held.submit(good.request(frames[4:8], frame=4))
    held.submit(bad.request(poison, frame=4))
    held.submit(bad.request(frames[8:], frame=8))
    held.tick()

    assert bad.refusals == ["", "values", "gap"]
    assert "stream 'bad': chunk holds nan at frame 2, feature 1" in str(bad.replies[1].refused)
    assert "wants frame 4 next, not 8: the chunk before was refused" in str(bad.replies[2].refused)
    bad.replies = bad.replies[:1]
    for client, at in ((bad, 4), (good, 8), (bad, 8)):
        held.submit(client.request(frames[at : at + 4], frame=at))
        held.tick()
    whole = load(overflowing_plan()).stream()
    parts = [whole.push(frames[at : at + 4]) for at in (0, 4, 8)]
    wanted = b"".join(part["y"].tobytes() + part["gain"].tobytes() for part in parts)
    assert good.answers == wanted
    assert bad.answers == wanted
    assert held.waiting_bytes == 0


def test_an_id_that_is_not_in_the_table_refuses_its_stream_only() -> None:
    held = Engine(ServedModel.of(ids_plan(), "ids"), Limits(streams=4))
    good, bad = Client(name="good"), Client(name="bad")
    held.submit(bad.request(np.array([1, 9], np.int32), frame=0, start=True))
    held.submit(good.request(np.array([1, 8], np.int32), frame=0, start=True))
    held.tick()

    assert bad.refusals == ["values"]
    assert good.answers == load(ids_plan()).stream().push(np.array([1, 8])).tobytes()


def test_row_193_a_stream_that_nothing_is_heard_of_is_given_up_and_its_row_is_new() -> None:
    clock = Clock()
    held = engine(clock, streams=1, idle=10.0)
    client, other = Client(), Client(name="other")
    started(held, client)
    clock.now = 9.0
    held.sweep()
    held.submit(other.request(signal(4), frame=0, start=True))
    assert other.refusals == ["limit"]
    clock.now = 11.0
    held.sweep()
    assert held.counters.idle == 1
    held.submit(client.request(signal(4), frame=4))
    assert client.refusals[-1] == "unknown"
    assert str(client.last.refused).endswith("nothing came for 10 seconds; start it at frame 0")
    held.submit(client.request(signal(4, 3), frame=0, start=True, end=True))
    held.tick()
    assert client.last.payload == alone(signal(4, 3))

    held.submit(other.request(signal(4), frame=0, start=True))
    held.tick()
    assert other.last.payload == alone(signal(4))


def test_each_request_puts_the_end_of_an_idle_stream_off() -> None:
    clock = Clock()
    held = engine(clock, idle=10.0)
    quiet, loud = Client(name="quiet"), Client(name="loud")
    started(held, loud)
    started(held, quiet)
    clock.now = 8.0
    held.submit(loud.request(None, ask=True))
    clock.now = 12.0
    held.sweep()

    held.submit(loud.request(None, ask=True))
    held.submit(quiet.request(None, ask=True))
    assert loud.last.frame == 4
    assert quiet.refusals[-1] == "unknown"


def test_limits_count_streams_in_all_and_of_one_owner() -> None:
    held = engine(streams=3, streams_of_one=2)
    mine = [Client("me", f"s{n}") for n in range(3)]
    yours = [Client("you", f"s{n}") for n in range(2)]
    for client in (*mine, *yours):
        held.submit(client.request(signal(1), frame=0, start=True))
    held.tick()

    assert [client.refusals for client in mine] == [[""], [""], ["limit"]]
    assert [client.refusals for client in yours] == [[""], ["limit"]]
    assert str(mine[2].last.refused) == "you have 2 streams in progress; end one first"
    assert str(yours[1].last.refused) == "all 3 streams of this process are taken; try again later"
    held.submit(mine[0].request(None, frame=1, end=True))
    held.tick()
    held.submit(yours[1].request(signal(1), frame=0, start=True))
    held.tick()
    held.submit(mine[1].request(None, frame=1, end=True))
    held.tick()
    held.submit(mine[2].request(signal(1), frame=0, start=True))
    held.tick()
    assert yours[1].refusals == mine[2].refusals == ["limit", ""]


def test_chunks_that_wait_and_answers_that_are_not_acknowledged_fill_a_window() -> None:
    held, client = engine(window=2), Client()
    for n in range(3):
        held.submit(client.request(signal(1), frame=n, got=0, start=n == 0))
    assert client.refusals == ["busy"]
    while held.waits:
        held.tick()
    held.submit(client.request(signal(1), frame=2, got=0))
    assert client.refusals == ["busy", "", "", "busy"]
    assert "0 chunks that wait and 2 answers" in str(client.last.refused)
    assert str(client.last.refused).endswith("are allowed; wait for answers, and acknowledge them")
    held.submit(client.request(signal(1), frame=2, got=1))
    held.tick()
    assert client.refusals[-1] == ""


def test_bytes_that_wait_have_a_limit() -> None:
    held = engine(waiting_bytes=3 * FEATURES * 4)
    first, second = Client(name="a"), Client(name="b")
    held.submit(first.request(signal(2), frame=0, start=True))
    held.submit(second.request(signal(2), frame=0, start=True))
    assert second.refusals == ["busy"]
    held.tick()
    held.submit(second.request(signal(2), frame=0, start=True))
    held.tick()
    assert second.refusals == ["busy", ""]


def test_a_stream_takes_one_chunk_a_tick_so_that_no_client_holds_up_another() -> None:
    held, greedy, modest = engine(), Client(name="greedy"), Client(name="modest")
    for n in range(6):
        held.submit(greedy.request(signal(9), frame=9 * n, got=0, start=n == 0))
    held.submit(modest.request(signal(1), frame=0, start=True))
    held.tick()

    assert len(greedy.replies) == len(modest.replies) == 1


def test_the_end_of_a_stream_is_answered_again_too() -> None:
    held, client = engine(), Client()
    started(held, client)
    for _ in range(2):
        held.submit(client.request(signal(8)[4:], frame=4, end=True))
        held.tick()

    assert held.streams == 0
    assert client.replies[1].payload == client.replies[2].payload
    held.submit(client.request(signal(1), frame=8))
    assert str(client.last.refused) == "stream 's' ended at frame 8; start another"
    held.submit(client.request(signal(4, 3), frame=0, start=True))
    held.tick()
    assert client.last.payload == alone(signal(4, 3))


def test_a_stream_in_progress_cannot_be_started_but_dropped() -> None:
    held, client = engine(), Client()
    started(held, client)
    held.submit(client.request(signal(4, 2), frame=0, start=True))
    assert client.refusals[-1] == "stale"
    held.submit(client.request(signal(4), frame=4, got=4))
    held.submit(client.request(signal(5, 2), frame=None, start=True))
    assert client.refusals[-1] == "exists"
    held.drop("", "s")
    assert client.refusals[-1] == "unknown"
    assert not held.waits
    held.submit(client.request(signal(4, 2), start=True))
    held.tick()
    assert client.last.payload == alone(signal(4, 2))


def test_what_comes_behind_an_end_is_refused() -> None:
    held, client = engine(), Client()
    held.submit(client.request(signal(2), frame=0, start=True, end=True))
    held.submit(client.request(signal(2), frame=2, got=0))
    held.tick()

    assert client.refusals == ["unknown", ""]
    assert held.waiting_bytes == 0
    assert not held.waits


def test_a_process_that_stops_answers_what_waits_and_refuses_the_rest() -> None:
    held, client = engine(), Client()
    held.submit(client.request(signal(2), frame=0, start=True))
    held.leaving = True
    held.submit(client.request(signal(2), frame=2, got=0))
    held.tick()

    assert client.refusals == ["moved", ""]


def test_streams_that_come_and_go_leave_nothing_behind() -> None:
    clock = Clock()
    held = engine(clock, streams=2, ended=3, idle=5.0)
    for n in range(50):
        client = Client(owner=f"o{n}", name=f"s{n}")
        held.submit(client.request(signal(3, n), frame=0, start=True, end=n % 2 == 0))
        held.tick()
        assert client.answers == alone(signal(3, n))
        clock.now += 3.0
        held.sweep()

    clock.now += 99
    held.sweep()
    assert (held.streams, len(held._ended), len(held._current._free), len(held._owners)) == (0, 0, 2, 0)


def test_row_236_a_chunk_that_waited_longer_than_its_client_is_refused_and_not_streamed() -> None:
    clock, client = Clock(), Client()
    held = engine(clock)
    started(held, client)
    held.submit(client.request(signal(8)[4:6], frame=4, patience=2.0))
    held.submit(client.request(signal(8)[6:], frame=6))
    clock.now = 3.0
    held.tick()
    assert client.refusals == ["", "late", "gap"]
    assert "waited for more than 2 seconds; send it again, or fewer at a time" in str(client.replies[1].refused)
    del client.replies[1:]
    held.submit(client.request(signal(8)[4:], frame=4, patience=2.0))
    clock.now = 4.0
    held.tick()
    assert client.answers == alone(signal(8))
    assert held.waiting_bytes == 0
