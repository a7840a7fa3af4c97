"""The websocket door for a host that speaks ASGI and has the connections, as Ray Serve's proxy has them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

from ..access import Access
from ..metrics import health_text
from ..repository import Repository
from ..requests import Refused, Reply, Request, Why
from ..ticker import Ticker
from ..wire import most_bytes, read_request, write_hello, write_reply

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

MOST_UNSENT = 64  # replies of a connection, before its next message is read
GOING_AWAY, NO_TEXT, POLICY, TOO_LARGE = 1001, 1003, 1008, 1009  # codes of RFC 6455


class AsgiDoor:
    """The messages of `wire.py` over the websockets of a host.

    Args:
        repository: The models; the path names one.
        access: Who may come in; TLS is the host's.
    """

    def __init__(self, repository: Repository, access: Access | None = None) -> None:
        self._repository, self._access = repository, access or Access()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one websocket until it ends, or answer an HTTP request by the page of this process's health."""
        if scope["type"] == "http":
            await self._health(scope, send)
        else:
            await self._websocket(scope, receive, send)

    async def _websocket(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        await receive()  # it wants to connect
        try:
            ticker, owner, protocol = self._entered(scope)
        except Refused as refused:
            await send({"type": "websocket.close", "code": POLICY, "reason": str(refused)})
            return
        await send({"type": "websocket.accept", "subprotocol": protocol or None})
        engine = ticker.engine
        hello = write_hello(engine.served.describe(), engine.limits, durable=engine.durable)
        await send({"type": "websocket.send", "text": hello.decode()})
        await _converse(ticker, owner, receive, send)

    async def _health(self, scope: Mapping[str, Any], send: Send) -> None:
        """Answer with the page of health; without a token it has no counters."""
        try:
            known = bool(self._owner(scope))
        except Refused:
            known = False
        body = health_text(self._repository.engines, ready=self._repository.ready, known=known)
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": body})

    def _entered(self, scope: Mapping[str, Any]) -> tuple[Ticker, str, str]:
        """Return the engine of the model that is asked for, whose connection it is, and the subprotocol.

        Raises:
            Refused: There is no such model, who asks is not known, or a page of another machine asks.
        """
        owner, protocol = self._owner(scope)
        name = scope["path"].removeprefix(scope.get("root_path", "")).strip("/")
        return self._repository.named_by(name), owner, protocol

    def _owner(self, scope: Mapping[str, Any]) -> tuple[str, str]:
        """Return whose a request is, and the subprotocol to answer with."""
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        offered = ", ".join(scope.get("subprotocols") or ())
        return self._access.websocket_owner(headers.get("authorization"), offered, headers.get("origin"))


async def _converse(ticker: Ticker, owner: str, receive: Receive, send: Send) -> None:
    """Take messages in and send replies, each at its own pace, until the client goes or sends what is no message."""
    replies: asyncio.Queue[bytes] = asyncio.Queue()
    writer = asyncio.create_task(_write(replies, send))
    reader = asyncio.create_task(_read(ticker, owner, receive, replies))
    await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
    for task in (reader, writer):
        task.cancel()
    found = await asyncio.gather(reader, writer, return_exceptions=True)
    if isinstance(found[0], tuple):
        code, reason = found[0]
        with suppress(OSError, RuntimeError):  # the client is gone
            await send({"type": "websocket.close", "code": code, "reason": reason[:120]})


async def _write(replies: "asyncio.Queue[bytes]", send: Send) -> None:
    """Send replies as fast as the client reads them."""
    while True:
        await send({"type": "websocket.send", "bytes": await replies.get()})
        replies.task_done()


async def _read(
    ticker: Ticker, owner: str, receive: Receive, replies: "asyncio.Queue[bytes]"
) -> tuple[int, str] | None:
    """Take messages in; return code and reason to close with, or None if the client went."""
    most = most_bytes(ticker.engine.largest_chunk)

    def reply(request: Request, answer: Reply) -> None:
        replies.put_nowait(write_reply(request.name, answer))

    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return None
        message = event.get("bytes")
        if message is None:
            return NO_TEXT, "messages are binary"
        if len(message) > most:
            return TOO_LARGE, f"a message has up to {most} bytes"
        try:
            ticker.submit(read_request(message, owner, reply))
        except Refused as refused:
            ticker.engine.counters.refused[Why.format.name] += 1
            return POLICY, str(refused)
        if replies.qsize() >= MOST_UNSENT:
            await replies.join()
