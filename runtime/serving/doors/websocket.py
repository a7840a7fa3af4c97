"""The websocket door: binary messages of `wire.py`, one or many streams on a connection. The path names the model."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from ..access import Access
from ..metrics import KIND, health_text, metrics_text
from ..repository import Repository
from ..requests import Refused, Reply, Request, Why
from ..ticker import Ticker
from ..wire import most_bytes, read_request, write_hello, write_reply

MOST_UNREAD = 2**24  # bytes of replies that a client does not read, before its connection is closed
MOST_PARTS = 64  # of a message; browsers and libraries send one
STATUS = {
    Why.missing: HTTPStatus.NOT_FOUND,
    Why.token: HTTPStatus.UNAUTHORIZED,
    Why.limit: HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclass
class WebsocketDoor:
    """The connections of all clients.

    Attributes:
        repository: The models.
        access: Who may come in.
        most: Connections at a time.
        rate: Messages of a connection in a second; one that sends more is read more slowly.
        open: The connections that are open.
    """

    repository: Repository
    access: Access = field(default_factory=Access)
    most: int = 4096
    rate: int = 20_000
    open: "set[Connection]" = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def tickers(self) -> Mapping[str, Ticker]:
        """The engines by the names of their models."""
        return self.repository.tickers

    async def listen(self, host: str, port: int) -> int:
        """Take connections at an address; return the port, which the system chooses for 0.

        Raises:
            OSError: The address is not free.
        """
        largest = max(ticker.engine.largest_chunk for ticker in self.tickers.values())
        self._server = await ws_create_server(
            self.greet,
            host,
            port,
            ssl=self.access.context(),
            max_frame_size=most_bytes(largest),
            enable_auto_ping=True,
            auto_ping_idle_timeout=30,
            auto_ping_reply_timeout=30,
        )
        return int(self._server.sockets[0].getsockname()[1])

    def greet(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        """Return the listener of a new connection, a page, or a refusal."""
        name = request.path.decode("ascii", "replace").strip("/")
        if name == "health":
            return self._health(request)
        try:
            owner, protocol = self._owner(request)
            return self._entered(name, owner, protocol)
        except Refused as refused:
            return _sorry(STATUS[refused.why], str(refused))

    def _entered(self, name: str, owner: str, protocol: str) -> WSUpgradeResponseWithListener:
        """Return what someone known gets.

        Raises:
            Refused: There is no such model, or no room.
        """
        if name == "metrics":
            return _page(metrics_text(self.repository.engines), KIND)
        ticker = self.repository.named_by(name)
        if len(self.open) >= self.most:
            raise Refused(Why.limit, f"all {self.most} connections are taken")
        headers = {"Sec-WebSocket-Protocol": protocol} if protocol else None
        made = WSUpgradeResponse.create_101_response(headers)
        return WSUpgradeResponseWithListener(made, Connection(self, ticker, owner))

    def _health(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        """Return the page of the server's health; without a token it has no counters."""
        try:
            known = bool(self._owner(request))
        except Refused:
            known = False
        body = health_text(self.repository.engines, ready=self.repository.ready, known=known)
        return _page(body, "application/json")

    def _owner(self, request: WSUpgradeRequest) -> tuple[str, str]:
        """Return whose connection it is, and the subprotocol to answer with."""
        said = request.headers.get
        return self.access.websocket_owner(said("Authorization"), said("Sec-WebSocket-Protocol"), said("Origin"))

    def breathe(self) -> None:
        """Start a new second: connections that sent too much are read again."""
        for connection in self.open:
            connection.breathe()

    async def close(self, grace: float) -> None:
        """Tell all clients that they go on elsewhere, and give them some seconds to read their last replies."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.open):
            connection.close(WSCloseCode.GOING_AWAY, "moved")
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self.open:
                    await asyncio.sleep(0.01)


class Connection(WSListener):
    """One client.

    Args:
        door: The door that it came through.
        ticker: The engine of the model that it asked for.
        owner: Whose streams it can reach.
    """

    def __init__(self, door: WebsocketDoor, ticker: Ticker, owner: str) -> None:
        super().__init__()
        self._door, self._ticker, self.owner = door, ticker, owner
        self._transport: WSTransport | None = None
        self._parts: list[bytes] = []  # of a message in several frames
        self._heard = 0  # messages of this second
        self._slow = False  # replies wait for the client to read

    @cached_property
    def _most(self) -> int:
        """Bytes of a message."""
        return most_bytes(self._ticker.engine.largest_chunk)

    @property
    def reads(self) -> bool:
        """Whether messages are read from the client."""
        return self._transport is not None and bool(self._transport.underlying_transport.is_reading())

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Say what the model is and what may be asked."""
        self._transport = transport
        self._door.open.add(self)
        engine = self._ticker.engine
        transport.send(WSMsgType.TEXT, write_hello(engine.served.describe(), engine.limits, durable=engine.durable))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take in a part of a message."""
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif kind == WSMsgType.TEXT:
            self.close(WSCloseCode.UNSUPPORTED_DATA, "messages are binary")
        elif kind == WSMsgType.BINARY and frame.fin and not self._parts:
            self._hear(frame.get_payload_as_bytes())  # nearly all messages; the frame's size is bounded by `listen`
        elif kind in (WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._take(frame.get_payload_as_bytes(), first=kind == WSMsgType.BINARY, last=frame.fin)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002  the interface
        """Forget the connection; its streams go on where their client comes back."""
        self._transport = None
        self._door.open.discard(self)

    def pause_writing(self) -> None:
        """Read nothing more from a client that does not read its replies."""
        self._slow = True
        self._hold()

    def resume_writing(self) -> None:
        """Read again."""
        self._slow = False
        self.breathe()

    def breathe(self) -> None:
        """Start a new second."""
        was, self._heard = self._heard, 0
        if was and not self._slow and self._transport is not None:
            self._transport.underlying_transport.resume_reading()

    def close(self, code: WSCloseCode, text: str) -> None:
        """Close the connection, and say why."""
        if self._transport is not None:
            self._transport.send_close(code, text.encode()[:120])
            self._transport.disconnect()

    def send(self, request: Request, reply: Reply) -> None:
        """Send a reply, if the client is still there."""
        transport = self._transport
        if transport is None or transport.is_close_frame_sent:
            return
        transport.send(WSMsgType.BINARY, write_reply(request.name, reply))
        if self._slow and transport.underlying_transport.get_write_buffer_size() > MOST_UNREAD:
            transport.disconnect(graceful=False)

    def _take(self, part: bytes, *, first: bool, last: bool) -> None:
        size = sum(map(len, self._parts)) + len(part)
        if first == bool(self._parts) or size > self._most or len(self._parts) >= MOST_PARTS:
            self.close(
                WSCloseCode.PROTOCOL_ERROR, f"a message has up to {self._most} bytes and {MOST_PARTS} parts in order"
            )
            return
        self._parts.append(part)
        if last:
            message, self._parts = b"".join(self._parts), []
            self._hear(message)

    def _hear(self, message: bytes) -> None:
        """Take in a whole message."""
        self._heard += 1
        if self._heard >= self._door.rate:
            self._hold()
        try:
            request = read_request(message, self.owner, self.send)
        except Refused as refused:
            self._ticker.engine.counters.refused[Why.format.name] += 1
            self.close(WSCloseCode.POLICY_VIOLATION, str(refused))
            return
        self._ticker.submit(request)

    def _hold(self) -> None:
        if self._transport is not None:
            self._transport.underlying_transport.pause_reading()


def _page(body: bytes, kind: str) -> WSUpgradeResponseWithListener:
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_ok_response(body, {"Content-Type": kind}), None)


def _sorry(status: HTTPStatus, text: str) -> WSUpgradeResponseWithListener:
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(status, text.encode()), None)
