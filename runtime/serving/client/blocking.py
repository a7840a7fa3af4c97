"""A stream on a server, for programs without an event loop."""

import ssl
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from ...arrays import Answer, Array, Chunk
from ...errors import ServerError
from .conversation import Connect, Exchange, LostError, Step, converse
from .patience import Patience
from .session import Sent, Session

LOST = (WebSocketException, OSError, EOFError)  # what a connection that fails raises


class Stream:
    """One stream on a server, which goes on at another server if the first is lost.

    Frames that no server has stored yet are kept here, and sent again where the stream goes on. One thread uses a
    stream.

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
        self._opened = ExitStack()

    def push(self, chunk: Chunk) -> Answer:
        """Stream a chunk, as `tidegate.Stream.push` does.

        Raises:
            ChunkError: The chunk is refused; the stream is unchanged.
            ServerError: No server answers, or the stream is lost.
        """
        self._patience.begin()
        self._converse(None)
        parts = self._session.parts(chunk)
        return self._session.joined([self._answered(part) for part in parts])

    def finish(self) -> None:
        """End the stream, and close its connection.

        Raises:
            ServerError: No server answers, or the stream is lost.
        """
        self._patience.begin()
        self._converse(None)
        self._converse(self._session.end())
        self.close()

    def close(self) -> None:
        """Close the connection. The stream stays on the server, until it is idle for too long."""
        with suppress(*LOST):
            self._opened.close()
        self._connection, self._session.connected = None, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answered(self, part: Array) -> Sent:
        sent = self._session.add(part)
        self._converse(sent)
        return sent

    def _converse(self, sent: Sent | None) -> None:
        """Do the steps of a conversation."""
        steps = converse(self._session, self._patience, sent)
        with suppress(StopIteration):
            step = next(steps)
            while True:
                try:
                    result = self._do(step)
                except ssl.SSLCertVerificationError as error:
                    raise ServerError(f"{self._patience.address} is not trusted: {error}") from None
                except LOST as error:
                    step = steps.throw(LostError(str(error) or type(error).__name__))
                else:
                    step = steps.send(result)

    def _do(self, step: Step) -> bytes | str:
        if isinstance(step, Connect):
            self.close()
            made = connect(
                step.address,
                ssl=self._tls,
                additional_headers=self._headers,
                open_timeout=step.seconds,
                close_timeout=1,
                max_size=None,
                compression=None,
            )
            self._connection = self._opened.enter_context(made)
            return self._connection.recv(step.seconds)
        if isinstance(step, Exchange):
            if self._connection is None:
                raise EOFError("there is no connection")
            self._connection.send(step.message)
            return self._connection.recv(step.seconds)
        time.sleep(step.seconds)
        return b""
