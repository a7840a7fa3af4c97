"""The messages of the websocket door, as docs/serve.md writes them down. Both ends use this file."""

import json
import struct
from collections.abc import Callable, Mapping

from .requests import MOST_ID, Limits, Refused, Reply, Request, Why

VERSION = 1
START, END, ASK = 1, 2, 4  # flags of a request
FLAGS = [(bool(n & START), bool(n & END), bool(n & ASK)) for n in range(8)]
HEAD = struct.Struct("<BBBBIQQ")  # version, flags or kind, bytes of the name, zero, frames, frame, got or durable
ANSWER = 0  # the kind of a reply that is no refusal; that of a refusal is its reason
MOST_TEXT = 2**12  # bytes of a refusal's text


def answer_sizes(frames: int, shape: tuple[int, ...], *, timed: bool) -> tuple[int, ...]:
    """Return the sizes of an output in the payload of a reply.

    Args:
        frames: Frames of the chunk.
        shape: The sizes of one answer.
        timed: Whether there is one answer per frame; else one per chunk, and none to a chunk without frames.
    """
    return (frames, *shape) if timed else shape if frames else (0, *shape[1:])


def most_bytes(chunk: int) -> int:
    """Return the bytes of the largest request, for a largest chunk of so many bytes."""
    return HEAD.size + MOST_ID + chunk


def write_hello(form: Mapping[str, object], limits: Limits, *, durable: bool) -> bytes:
    """Return the first message of a connection, which is JSON.

    Args:
        form: The form of frames and answers, as `ServedModel.describe` gives it.
        limits: What clients may use.
        durable: Whether streams outlive the process.
    """
    most = {"frames": limits.frames, "window": limits.window, "idle": limits.idle, "kept_bytes": limits.kept_bytes}
    return json.dumps({"tidegate": VERSION, **form, "durable": durable, "limits": most}).encode()


def write_request(request: Request) -> bytes:
    """Return a request as a message."""
    name = request.name.encode()
    flags = START * request.start | END * request.end | ASK * request.ask
    frame = request.frame or 0
    got = frame if request.got is None else request.got
    return HEAD.pack(VERSION, flags, len(name), 0, request.frames, frame, got) + name + request.payload


def read_request(message: bytes, owner: str, reply: Callable[[Request, Reply], None]) -> Request:
    """Return the request of a message.

    Args:
        message: The bytes, from anyone.
        owner: Whose connection it is.
        reply: Takes the reply.

    Raises:
        Refused: The message is too short, of another version, or a field has a value that it cannot have.
    """
    if len(message) < HEAD.size:
        raise Refused(Why.format, f"the message has {len(message)} bytes, wanted {HEAD.size} and more")
    version, flags, size, zero, frames, frame, got = HEAD.unpack_from(message)
    if version != VERSION:
        raise Refused(Why.format, f"the message is of version {version}, wanted {VERSION}")
    if flags > START | END | ASK or zero:
        raise Refused(Why.format, f"the message has flags {flags} and {zero}, wanted up to {START | END | ASK} and 0")
    payload = message[HEAD.size + size :]
    if flags & ASK and (flags != ASK or frames or payload):
        raise Refused(Why.format, "a question has no other flag and no frames")
    try:
        name = message[HEAD.size : HEAD.size + size].decode()
    except UnicodeDecodeError:
        raise Refused(Why.format, "the name of the stream is not UTF-8") from None
    if not 0 < size <= MOST_ID or len(message) < HEAD.size + size:
        raise Refused(Why.format, f"the name of the stream has {size} bytes, wanted 1 to {MOST_ID}, all there")
    start, end, ask = FLAGS[flags]
    return Request(owner, name, reply, frame, frames, payload, got, start, end, ask)


def write_reply(name: str, reply: Reply) -> bytes:
    """Return a reply as a message."""
    raw = name.encode()
    if reply.refused is None:
        return HEAD.pack(VERSION, ANSWER, len(raw), 0, reply.frames, reply.frame, reply.durable) + raw + reply.payload
    text = str(reply.refused).encode()[:MOST_TEXT]
    return HEAD.pack(VERSION, reply.refused.why, len(raw), 0, 0, reply.frame, reply.durable) + raw + text


def read_reply(message: bytes) -> tuple[str, Reply]:
    """Return the name of the stream and the reply of a message.

    Raises:
        Refused: The message is not one of this version.
    """
    if len(message) < HEAD.size:
        raise Refused(Why.format, f"the reply has {len(message)} bytes, wanted {HEAD.size} and more")
    version, kind, size, zero, frames, frame, durable = HEAD.unpack_from(message)
    if version != VERSION or zero or len(message) < HEAD.size + size or kind > max(Why):
        raise Refused(Why.format, f"the reply is of version {version} and kind {kind}, wanted version {VERSION}")
    name = message[HEAD.size : HEAD.size + size].decode(errors="replace")
    rest = message[HEAD.size + size :]
    if kind == ANSWER:
        return name, Reply(frame, frames, durable, rest)
    return name, Reply(frame, 0, durable, refused=Refused(Why(kind), rest.decode(errors="replace"), frame))
