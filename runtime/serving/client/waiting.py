"""A stream on a server, for programs with an event loop."""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from ...arrays import Answer, Array, Chunk
from ...errors import ServerError
from .conversation import Connect, Exchange, LostError, Step, converse
from .patience import Patience
from .session import Sent, Session

LOST = (WebSocketException, OSError, EOFError, TimeoutError)  # what a connection that fails raises


class AsyncStream:
    """One stream on a server, as `Stream`, for `await`. Pushes at the same time follow each other.

    Args:
        addresses: Where the model is, e.g. `ws://127.0.0.1:8002/watch`; several for servers with one store.
        name: The name of the stream; None: one that nobody else has.
        patience: Seconds after which a call fails that no server answers.
        token: What the server knows this program by.
        tls: How a `wss://` server is trusted, if not by the system's certificates.

    Raises:
        ServerError: There is no address.
    """

    def __init__(
        self,
        addresses: str | Sequence[str],
        *,
        name: str | None = None,
        patience: float = 30.0,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._session = Session(name)
        self._patience = Patience(addresses, patience)
        self._headers = self._session.headers(token)
        self._tls = tls
        self._connection: ClientConnection | None = None
        self._turn = asyncio.Lock()

    async def push(self, chunk: Chunk) -> Answer:
        """Stream a chunk, as `Stream.push` does.

        Raises:
            ChunkError: The chunk is refused; the stream is unchanged.
            ServerError: No server answers, or the stream is lost.
        """
        async with self._turn:
            self._patience.begin()
            await self._converse(None)
            parts = self._session.parts(chunk)
            return self._session.joined([await self._answered(part) for part in parts])

    async def finish(self) -> None:
        """End the stream, and close its connection.

        Raises:
            ServerError: No server answers, or the stream is lost.
        """
        async with self._turn:
            self._patience.begin()
            await self._converse(None)
            await self._converse(self._session.end())
            await self.close()

    async def close(self) -> None:
        """Close the connection. The stream stays on the server, until it is idle for too long."""
        if self._connection is not None:
            with suppress(*LOST):
                await self._connection.close()
            self._connection, self._session.connected = None, False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _answered(self, part: Array) -> Sent:
        sent = self._session.add(part)
        await self._converse(sent)
        return sent

    async def _converse(self, sent: Sent | None) -> None:
        """Do the steps of a conversation."""
        steps = converse(self._session, self._patience, sent)
        with suppress(StopIteration):
            step = next(steps)
            while True:
                try:
                    result = await self._do(step)
                except ssl.SSLCertVerificationError as error:
                    raise ServerError(f"{self._patience.address} is not trusted: {error}") from None
                except LOST as error:
                    step = steps.throw(LostError(str(error) or type(error).__name__))
                else:
                    step = steps.send(result)

    async def _do(self, step: Step) -> bytes | str:
        if isinstance(step, Connect):
            await self.close()
            extra: dict[str, Any] = {"ssl": self._tls} if self._tls else {}
            self._connection = await connect(
                step.address,
                additional_headers=self._headers,
                open_timeout=step.seconds,
                close_timeout=1,
                max_size=None,
                compression=None,
                ping_interval=None,
                **extra,
            )
            return await asyncio.wait_for(self._connection.recv(), step.seconds)
        if isinstance(step, Exchange):
            if self._connection is None:
                raise EOFError("there is no connection")
            await self._connection.send(step.message)
            return await asyncio.wait_for(self._connection.recv(), step.seconds)
        await asyncio.sleep(step.seconds)
        return b""
