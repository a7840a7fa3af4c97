"""Frames of HTTP/2 and calls of gRPC as bytes, because no client sends those that are wrong."""

import struct
from collections.abc import Sequence

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING = 0, 1, 3, 4, 6
END_HEADERS, END_STREAM, ACK = 4, 1, 1
CANCEL = struct.pack(">I", 8)
START = PREFACE + bytes(3) + bytes([SETTINGS]) + bytes(5)


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """Return a frame."""
    return len(body).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + body


def field(name: bytes, value: bytes) -> bytes:
    """Return a header as HPACK, of names and values of fewer than 127 bytes."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def call(stream: int, path: bytes, message: bytes, more: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """Return a whole call of gRPC with one message, and more headers."""
    fields = [(b":path", path), (b":authority", b"x"), (b"te", b"trailers"), (b"content-type", b"application/grpc")]
    head = b"\x83\x86" + b"".join(field(*one) for one in [*fields, *more])  # POST, http
    body = b"\0" + struct.pack(">I", len(message)) + message
    return frame(HEADERS, END_HEADERS, stream, head) + frame(DATA, END_STREAM, stream, body)
