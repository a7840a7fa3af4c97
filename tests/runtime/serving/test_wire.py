"""The messages of the websocket door: written and read again, and hostile ones refused by name."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.runtime.serving import wire
from tidegate.runtime.serving.requests import Refused, Reply, Request, Why

NUMBERS = st.integers(0, 2**64 - 1)
NAMES = st.text(min_size=1).filter(lambda name: 0 < len(name.encode(errors="replace")) <= 64 and encodes(name))


def encodes(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def ignore(_request: Request, _reply: Reply) -> None:
    pass


@given(NAMES, st.tuples(NUMBERS, NUMBERS), st.binary(max_size=50), st.tuples(st.booleans(), st.booleans()))
def test_requests_are_read_as_written(
    name: str, numbers: tuple[int, int], payload: bytes, flags: tuple[bool, bool]
) -> None:
    frame, got = numbers
    request = Request("me", name, ignore, frame, 7, payload, got, *flags)
    assert wire.read_request(wire.write_request(request), "me", ignore) == request


def test_a_question_is_read_as_written() -> None:
    request = Request("", "s", ignore, 0, 0, b"", 0, ask=True)
    assert wire.read_request(wire.write_request(request), "", ignore) == request


@given(NAMES, NUMBERS, NUMBERS, st.binary(max_size=50))
def test_replies_are_read_as_written(name: str, frame: int, durable: int, payload: bytes) -> None:
    reply = Reply(frame, 3, durable, payload)
    assert wire.read_reply(wire.write_reply(name, reply)) == (name, reply)


@pytest.mark.parametrize("why", Why)
def test_refusals_are_read_as_written(why: Why) -> None:
    name, reply = wire.read_reply(wire.write_reply("s", Reply(4, refused=Refused(why, "no: ü", 4))))
    assert name == "s"
    assert reply.refused is not None
    assert (reply.refused.why, str(reply.refused), reply.frame) == (why, "no: ü", 4)


@given(st.binary(max_size=120))
def test_any_bytes_are_a_request_or_refused(message: bytes) -> None:
    with suppress(Refused):
        assert wire.write_request(wire.read_request(message, "", ignore)) == message


@given(st.binary(max_size=120))
def test_any_bytes_are_a_reply_or_refused(message: bytes) -> None:
    with suppress(Refused):
        wire.read_reply(message)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"\1" * 23, "has 23 bytes, wanted 24 and more"),
        (wire.HEAD.pack(2, 0, 1, 0, 0, 0, 0) + b"s", "of version 2, wanted 1"),
        (wire.HEAD.pack(1, 8, 1, 0, 0, 0, 0) + b"s", "flags 8 and 0, wanted up to 7 and 0"),
        (wire.HEAD.pack(1, 0, 1, 9, 0, 0, 0) + b"s", "flags 0 and 9"),
        (wire.HEAD.pack(1, 0, 2, 0, 0, 0, 0) + b"s", "2 bytes, wanted 1 to 64, all there"),
        (wire.HEAD.pack(1, 0, 0, 0, 0, 0, 0), "0 bytes, wanted 1 to 64"),
        (wire.HEAD.pack(1, 0, 65, 0, 0, 0, 0) + b"s" * 65, "65 bytes, wanted 1 to 64"),
        (wire.HEAD.pack(1, 0, 1, 0, 0, 0, 0) + b"\xff", "not UTF-8"),
        (wire.HEAD.pack(1, 5, 1, 0, 0, 0, 0) + b"s", "a question has no other flag"),
    ],
)
def test_fields_are_refused_by_name(message: bytes, text: str) -> None:
    with pytest.raises(Refused, match=text):
        wire.read_request(message, "", ignore)
