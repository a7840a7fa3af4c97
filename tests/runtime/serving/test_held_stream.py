"""One stream that the engine holds: acknowledged answers, and room for more."""

import pytest
from tidegate.runtime.serving.held_stream import HeldStream
from tidegate.runtime.serving.requests import MOST_FRAME_NUMBER, Limits, Refused
from tools.serving import Client, signal

LIMITS = Limits(window=4, kept_bytes=100)


def answered(held: HeldStream, client: Client, sizes: list[int], payload: bytes = b"....") -> None:
    """Let the stream take chunks of given lengths, and answer them."""
    for size in sizes:
        request = client.request(signal(size), frame=held.next, got=0)
        assert held.admit(request, LIMITS) is None
        held.answered(held.waiting.popleft(), payload)


def test_acknowledged_answers_are_forgotten_from_the_oldest_on() -> None:
    held, client = HeldStream("", "s", 0.0), Client()
    answered(held, client, [3, 2, 1])
    held.acknowledge(4)
    assert [kept.frame for kept in held.kept] == [3, 5]
    held.acknowledge(6)
    assert not held.kept
    assert held.kept_bytes == 0


def test_the_empty_end_of_a_stream_is_kept_until_it_is_acknowledged() -> None:
    held, client = HeldStream("", "s", 0.0), Client()
    answered(held, client, [3])
    assert held.admit(client.request(None, frame=3, end=True), LIMITS) is None
    held.answered(held.waiting.popleft(), b"")
    held.ended = True
    again = held.admit(client.request(None, frame=3, got=3, end=True), LIMITS)
    assert again is not None
    assert (again.frame, again.frames) == (3, 0)


def test_large_answers_have_to_be_acknowledged_before_more_come() -> None:
    held, client = HeldStream("", "s", 0.0), Client()
    answered(held, client, [1], b"." * 101)
    with pytest.raises(Refused, match=r"1 answers \(101 bytes\) .*; wait for answers, and acknowledge them"):
        held.admit(client.request(signal(1), frame=1, got=0), LIMITS)
    assert held.admit(client.request(signal(1), frame=1, got=1), LIMITS) is None


def test_a_name_in_progress_is_ended_or_another_one_is_taken() -> None:
    held, client = HeldStream("", "s", 0.0), Client()
    answered(held, client, [2])
    with pytest.raises(Refused, match="end it, or start under another name"):
        held.admit(client.request(signal(1), frame=2, start=True), LIMITS)
    assert HeldStream("", "t", 0.0).admit(Client(name="t").request(signal(1), frame=0, start=True), LIMITS) is None
    assert held.admit(client.request(None, frame=2, got=2, end=True), LIMITS) is None


def test_a_chunk_of_no_frames_is_answered_at_once() -> None:
    held, client = HeldStream("", "s", 0.0), Client()
    answered(held, client, [2])
    reply = held.admit(client.request(None, frame=2, got=2), LIMITS)
    assert reply is not None
    assert (reply.frame, reply.frames, reply.payload) == (2, 0, b"")
    assert not held.kept


def test_a_stream_has_an_end_of_numbers() -> None:
    held = HeldStream("", "s", 0.0, position=MOST_FRAME_NUMBER - 2, next=MOST_FRAME_NUMBER - 2)
    with pytest.raises(Refused, match="no stream has more than 2\\^63 frames"):
        held.admit(Client().request(signal(2), frame=held.next), LIMITS)
