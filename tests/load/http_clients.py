"""Clients of the HTTP door: one connection for each stream, numbers as bytes. A call waits for the one before."""

import asyncio
import json
from collections import deque

from load.traffic import CASE, Record
from tidegate.runtime.serving.doors.inference_http import BINARY

LENGTH = b"content-length: "


class HttpClients:
    """A client for each stream.

    Args:
        record: Takes the answers.
    """

    def __init__(self, record: Record) -> None:
        self._clients = [_Client(record, stream) for stream in range(record.traffic.streams)]

    async def open(self, port: int) -> None:
        """Connect all clients."""
        loop = asyncio.get_running_loop()
        for client in self._clients:
            await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]

    def send(self, stream: int, chunk: int) -> None:
        """Send a chunk, as soon as the one before was answered."""
        self._clients[stream].send(chunk)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.transport.close()


class _Client(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, record: Record, stream: int) -> None:
        self._record, self._stream = record, stream
        self._waiting: deque[int] = deque()
        self._asked = False
        self._heard = b""

    def send(self, chunk: int) -> None:
        self._waiting.append(chunk)
        self._flow()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, found, body = self._heard.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.partition(LENGTH)[2].partition(b"\r\n")[0]):
            return
        self._heard, self._asked = b"", False
        if b" 200 " in head[:16]:
            self._record.answered(self._stream, body[-4 * CASE.hidden * self._record.traffic.frames :])
        else:
            self._record.refuse(body[:200].decode(errors="replace"))
        self._flow()

    def _flow(self) -> None:
        if self._waiting and not self._asked:
            self._asked = True
            self.transport.write(infer_call(self._record, self._stream, self._waiting.popleft()))


def infer_call(record: Record, stream: int, chunk: int) -> bytes:
    """Return the call of a chunk."""
    traffic = record.traffic
    frames = traffic.chunk(stream, chunk)
    signal = {"name": "x", "datatype": "FP32", "shape": [traffic.frames, CASE.features]}
    fields = {
        "parameters": {
            "sequence_id": stream + 1,
            "sequence_start": chunk == 0,
            "sequence_end": chunk == traffic.chunks - 1,
            "binary_data_output": True,
        },
        "inputs": [{**signal, "parameters": {"binary_data_size": len(frames)}}],
    }
    text = json.dumps(fields).encode()
    lines = f"POST /v2/models/A/infer HTTP/1.1\r\nHost: x\r\n{BINARY}: {len(text)}\r\n"
    return f"{lines}Content-Length: {len(text) + len(frames)}\r\n\r\n".encode() + text + frames
