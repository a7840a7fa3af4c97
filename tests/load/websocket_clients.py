"""Clients of the websocket door: one connection for each stream."""

import asyncio
from collections import deque

from load.traffic import Record
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from tidegate.runtime.serving.requests import Request
from tidegate.runtime.serving.wire import read_reply, write_request

WINDOW = 7  # chunks under way; the server keeps the last answer until it is acknowledged


class WebsocketClients:
    """A client for each stream.

    Args:
        record: Takes the answers.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._clients = [_Client(record, stream) for stream in range(record.traffic.streams)]

    async def open(self, port: int) -> None:
        """Connect all clients."""
        for client in self._clients:
            await ws_connect(lambda client=client: client, f"ws://127.0.0.1:{port}/")
            await client.greeted.wait()

    def send(self, stream: int, chunk: int) -> None:
        """Send a chunk, with the number of frames that were answered so far."""
        self._clients[stream].send(chunk)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.transport.disconnect()


class _Client(WSListener):
    transport: WSTransport

    def __init__(self, record: Record, stream: int) -> None:
        super().__init__()
        self._record, self._stream, self._got = record, stream, 0
        self._waiting: deque[int] = deque()  # chunks that are due, and find the window full
        self._under_way = 0
        self.greeted = asyncio.Event()

    def send(self, chunk: int) -> None:
        """Send a chunk, as soon as the window has room."""
        self._waiting.append(chunk)
        self._flow()

    def _flow(self) -> None:
        while self._waiting and self._under_way < WINDOW:
            self._under_way += 1
            self._write(self._waiting.popleft())

    def _write(self, chunk: int) -> None:
        traffic = self._record.traffic
        request = Request(
            "",
            f"s{self._stream}",
            _nobody,
            chunk * traffic.frames,
            traffic.frames,
            traffic.chunk(self._stream, chunk),
            self._got,
            start=chunk == 0,
            end=chunk == traffic.chunks - 1,
        )
        self.transport.send(WSMsgType.BINARY, write_request(request))

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002  the interface
        if frame.msg_type == WSMsgType.BINARY:
            self._hear(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.TEXT:
            self.greeted.set()

    def _hear(self, message: bytes) -> None:
        _, reply = read_reply(message)
        if reply.refused is not None:
            self._record.refuse(str(reply.refused))
        elif reply.frame != self._got:
            self._record.refuse(f"frame {reply.frame} was answered where {self._got} was due")
        else:
            self._got += reply.frames
            self._under_way -= 1
            self._record.answered(self._stream, reply.payload)
            self._flow()


def _nobody(*_: object) -> None:
    """Take no reply: the client reads it from its connection."""
