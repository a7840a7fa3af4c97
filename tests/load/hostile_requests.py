"""Hostile and random requests as bytes, drawn from a generator: for each door what a connection sends.

Most requests are whole in their outer form and wrong inside, so that they come far; some have bytes changed, cut off or
added.
"""

import json
import struct
from collections.abc import Callable

import numpy as np
from load.traffic import CASE
from tidegate.runtime.serving.doors.inference_http import BINARY
from tidegate.runtime.serving.doors.oip_messages import SERVICE, message
from tidegate.runtime.serving.wire import HEAD
from tools.http2 import CANCEL, PREFACE, RESET, START, call, frame

Rng = np.random.Generator

NUMBERS = (0, 1, 10, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
VALUES = (0.0, 1.0, -1.0, 1e18, 3e38, float("inf"), float("nan"))
NAMES = ("h0", "h1", "h2", "", "\0", "\u202e", "x" * 64, "x" * 65, "neighbour")
ODD: tuple[object, ...] = (
    None,
    True,
    -1,
    2**70,
    1.5,
    "",
    "FP32",
    [],
    {},
    [[[[]]]],
    {"data": []},
    [1, "x"],
    "\ud800",
    "NaN",
)
HANDSHAKE = (
    b"GET /A HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
FLOOD = 1000  # times one request is sent at once; counted as one
METHODS = (b"ModelInfer", b"ModelInfer", b"ModelStreamInfer", b"ServerLive", b"ModelStatistics", b"Other")
PATHS = ("/", "/v2", "/metrics", "/v2/models/A/versions/9/infer", "/v2//models", "/%00" + "a" * 300)
HEADERS = ("Transfer-Encoding: chunked", "Content-Encoding: gzip", "X: " + "y" * 5000, "Expect: 100-continue")


WEBSOCKET_ROW = [("version", "u1"), ("flags", "u1"), ("size", "u1"), ("zero", "u1"), ("frames", "<u4")]
WEBSOCKET_ROW += [("frame", "<u8"), ("got", "<u8"), ("name", "S2")]


def damaged(rng: Rng, data: bytes, chance: float) -> bytes:
    """Return bytes of which, by some chance, a few are changed, cut off or added."""
    if not data or rng.random() >= chance:
        return data
    at, found = int(rng.integers(len(data))), bytearray(data)
    match rng.integers(4):
        case 0:
            found[at] ^= 1 << int(rng.integers(8))
        case 1:
            found[at : at + 8] = rng.bytes(min(8, len(data) - at))
        case 2:
            del found[at:]
        case _:
            found[at:at] = rng.bytes(int(rng.integers(1, 64)))
    return bytes(found)


def in_place(rng: Rng, data: bytes, start: int, count: int, *, digits: bool = False) -> list[bytes]:
    """Return copies of bytes that have their length; in most, a few bytes from a place on are others.

    Args:
        rng: Draws them.
        data: The bytes.
        start: The place.
        count: How many copies.
        digits: Only digits change, and become other digits: a number in JSON stays one.
    """
    table = np.tile(np.frombuffer(data, np.uint8), (count, 1))
    places = start + np.flatnonzero((table[0, start:] - ord("0") < 10) if digits else table[0, start:] < 256)
    values = np.frombuffer(b"0123456789" if digits else bytes(range(256)), np.uint8)
    rows = np.flatnonzero(rng.random(count) < 0.8)
    for _ in range(3 if len(places) else 0):
        table[rows, rng.choice(places, len(rows))] = rng.choice(values, len(rows))
    return [row.tobytes() for row in table]


def _one(rng: Rng, of: tuple[object, ...]) -> object:
    return of[int(rng.integers(len(of)))]


def _number(rng: Rng, most: int = 2**64) -> int:
    return int(_one(rng, NUMBERS)) % most if rng.random() < 0.3 else int(rng.integers(0, 40))  # type: ignore[call-overload]


def _frames(rng: Rng) -> tuple[int, bytes]:
    """Return a number of frames, and bytes that mostly are as many."""
    count = int(rng.integers(0, 12))
    values = rng.standard_normal((count, CASE.features)).astype("<f4")
    if count and rng.random() < 0.2:
        values[-1, -1] = _one(rng, VALUES)
    said = count if rng.random() < 0.8 else _number(rng, 2**32)
    return said, values.tobytes()


# ---- the websocket door ----


def websocket(rng: Rng) -> tuple[int, bytes]:
    """Return what a connection of the websocket door sends, and how many requests that is."""
    if rng.random() < 0.01:
        return 1, HANDSHAKE + FLOOD * _websocket_frame(rng, _websocket_message(rng), whole=True)
    if rng.random() < 0.7:
        count, batch = _websocket_batch(rng)
        return count + 1, HANDSHAKE + batch + _websocket_frame(rng, _websocket_message(rng), whole=False)
    count = int(rng.integers(1, 24))
    parts = [_websocket_frame(rng, _websocket_message(rng), whole=rng.random() < 0.97) for _ in range(count)]
    return count, damaged(rng, HANDSHAKE, 0.04) + b"".join(parts)


def _websocket_batch(rng: Rng) -> tuple[int, bytes]:
    """Return messages of one length that can be read, and whose fields and frames are drawn; and how many."""
    count, frames = int(rng.integers(64, 512)), int(rng.integers(4))
    size = HEAD.size + 2 + frames * CASE.features * 4
    table = np.zeros(count, [*WEBSOCKET_ROW, ("payload", "u1", (frames * CASE.features * 4,))])
    head = struct.pack(">BB", 0x82, 0x80 | size) if size < 126 else struct.pack(">BBH", 0x82, 0xFE, size)
    values = rng.standard_normal((count, frames * CASE.features)).astype("<f4")
    if frames:
        odd = np.flatnonzero(rng.random(count) < 0.2)
        values[odd, -1] = rng.choice(np.array(VALUES), len(odd))
        values.view("<u4")[odd[::2], 0] = rng.integers(0, 2**32, len(odd[::2]))
    table["version"], table["size"], table["name"] = 1, 2, [b"h%d" % n for n in rng.integers(0, 10, count)]
    table["flags"] = rng.choice([0, 0, 0, 0, 1, 2, 3], count)
    table["frames"] = np.where(rng.random(count) < 0.9, frames, rng.integers(0, 2**32, count))
    for field in ("frame", "got"):
        large = rng.choice(np.array(NUMBERS, "<u8"), count)
        table[field] = np.where(rng.random(count) < 0.2, large, rng.integers(0, 12, count, np.uint64))
    table["payload"] = values.view("u1").reshape(count, -1)
    return count, b"".join(head + bytes(4) + row.tobytes() for row in table)


def _websocket_message(rng: Rng) -> bytes:
    name = str(_one(rng, NAMES[:3] if rng.random() < 0.9 else NAMES)).encode()
    flags = int(rng.integers(0, 8)) if rng.random() < 0.5 else int(rng.random() < 0.2)
    frames, payload = _frames(rng)
    size = len(name) if rng.random() < 0.98 else int(rng.integers(256))
    head = HEAD.pack(1, flags, size, 0, frames, _number(rng), _number(rng))
    return damaged(rng, head + name + (b"" if flags & 4 else payload), 0.06)


def _websocket_frame(rng: Rng, payload: bytes, *, whole: bool) -> bytes:
    """Return a frame whose mask is zero, so that its payload is there as it is."""
    first = 0x82 if whole else int(rng.integers(256))
    size = len(payload) if whole or rng.random() < 0.5 else _number(rng)
    if size < 126:
        head = struct.pack(">BB", first, 0x80 | size)
    elif size < 2**16:
        head = struct.pack(">BBH", first, 0xFE, size)
    else:
        head = struct.pack(">BBQ", first, 0xFF, size)
    return damaged(rng, head, 0.0 if whole else 0.3) + bytes(4) + payload


# ---- the HTTP door ----


def http(rng: Rng) -> tuple[int, bytes]:
    """Return what a connection of the HTTP door sends, and how many requests that is."""
    if rng.random() < 0.01:
        return 1, FLOOD * _http_call(rng)
    count = int(rng.integers(1, 12))
    if rng.random() < 0.7:
        call = _http_call(rng)
        copies = in_place(rng, call, call.index(b"\r\n\r\n") + 4, 8 * count, digits=bool(rng.random() < 0.7))
        return 8 * count + 1, b"".join([*copies, damaged(rng, call, 1.0)])
    return count, b"".join(damaged(rng, _http_call(rng), 0.05) for _ in range(count))


def _http_call(rng: Rng) -> bytes:
    path = "/v2/models/A/infer"
    if rng.random() < 0.1:
        path = str(_one(rng, PATHS))
    fields, binary = _http_fields(rng)
    head = damaged(rng, json.dumps(fields).encode(), 0.1)
    lines = [f"{_one(rng, ('POST',) * 9 + ('GET',))} {path} HTTP/1.1", "Host: x"]
    if binary or rng.random() < 0.1:
        lines.append(f"{BINARY}: {len(head) if rng.random() < 0.9 else _number(rng)}")
    if rng.random() < 0.05:
        lines.append(str(_one(rng, HEADERS)))
    size = len(head) + len(binary)
    lines.append(f"Content-Length: {size if rng.random() < 0.97 else _number(rng)}")
    return "\r\n".join([*lines, "", ""]).encode() + head + binary


def _http_fields(rng: Rng) -> tuple[object, bytes]:
    frames, payload = _frames(rng)
    signal: dict[str, object] = {"name": "x", "datatype": "FP32", "shape": [frames, CASE.features]}
    binary = rng.random() < 0.5
    if binary:
        signal["parameters"] = {"binary_data_size": len(payload) if rng.random() < 0.9 else _one(rng, NUMBERS)}
    else:
        signal["data"] = np.frombuffer(payload, "<f4").tolist()
    parameters: dict[str, object] = {
        "sequence_id": _one(rng, (1, 2, "h0", "h1")),
        "sequence_start": bool(rng.integers(2)),
        "sequence_end": bool(rng.random() < 0.2),
        "binary_data_output": bool(rng.integers(2)),
    }
    fields: dict[str, object] = {"id": "1", "parameters": parameters, "inputs": [signal], "outputs": [{"name": "y"}]}
    holders: tuple[dict[str, object], ...] = (fields, parameters, signal)
    if rng.random() < 0.4:
        held = holders[int(rng.integers(3))]
        held[str(_one(rng, tuple(held)))] = _one(rng, ODD)
    return fields, payload if binary else b""


# ---- the gRPC door ----


def grpc_raw(rng: Rng) -> tuple[int, bytes]:
    """Return what a connection of the gRPC door sends that no client would, and how many requests that is."""
    return _grpc_calls(rng) if rng.random() < 0.5 else _grpc_frames(rng)


def _grpc_frames(rng: Rng) -> tuple[int, bytes]:
    """Return frames of HTTP/2 with any bits."""
    count = int(rng.integers(1, 8))
    frames = []
    for _ in range(count):
        body = rng.bytes(int(rng.integers(0, 40)))
        size = len(body) if rng.random() < 0.9 else int(rng.integers(2**24))
        kind, flags, stream = int(rng.integers(12)), int(rng.integers(256)), int(rng.integers(2**32))
        frames.append(size.to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + body)
    return count, damaged(rng, PREFACE, 0.1) + b"".join(frames)


def _grpc_calls(rng: Rng) -> tuple[int, bytes]:
    """Return calls that are mostly whole, under names and with headers that are not, and of which some are given up."""
    count = int(rng.integers(1, 24))
    parts = [START]
    for stream in range(1, 2 * count, 2):
        path = damaged(rng, f"/{SERVICE}/".encode() + bytes(_one(rng, METHODS)), 0.05)[:100]  # type: ignore[call-overload]
        more = [(b"authorization", damaged(rng, b"Bearer x", 0.5))] if rng.random() < 0.2 else []
        message = _grpc_message(rng)[:2000] if rng.random() < 0.5 else rng.bytes(int(rng.integers(40)))
        parts.append(damaged(rng, call(stream, path, message, more), 0.05))
        if rng.random() < 0.3:
            parts.append(frame(RESET, 0, stream, CANCEL))
    return count, b"".join(parts)


def grpc_messages(rng: Rng, count: int) -> list[bytes]:
    """Return requests of an inference, as protobuf: some drawn, and copies of each whose last half is changed."""
    drawn = [_grpc_message(rng) for _ in range(count // 10)]
    return [copy for one in drawn for copy in in_place(rng, one, len(one) // 2, 10)]


def _grpc_message(rng: Rng) -> bytes:
    frames, payload = _frames(rng)
    made = message("ModelInferRequest")(model_name="A" if rng.random() < 0.97 else "B", id="1")
    made.parameters["sequence_id"].int64_param = int(rng.integers(0, 3))
    made.parameters["sequence_start"].bool_param = bool(rng.integers(2))
    made.parameters["sequence_end"].bool_param = bool(rng.random() < 0.2)
    if rng.random() < 0.1:
        made.parameters[str(_one(rng, ("sequence_id", "sequence_start", "x")))].string_param = str(_one(rng, NAMES))
    datatype = "FP32" if rng.random() < 0.95 else str(_one(rng, ("INT64", "BYTES", "")))
    shape = (
        [frames, CASE.features] if rng.random() < 0.9 else [_number(rng, 2**63) for _ in range(int(rng.integers(4)))]
    )
    made.inputs.add(name="x", datatype=datatype, shape=shape)
    if rng.random() < 0.8:
        made.raw_input_contents.append(payload)
    else:
        made.inputs[0].contents.fp32_contents.extend(np.frombuffer(payload, "<f4"))
    return damaged(rng, bytes(made.SerializeToString()), 0.3)


SENT: dict[str, Callable[[Rng], tuple[int, bytes]]] = {"ws": websocket, "http": http, "grpc": grpc_raw}
