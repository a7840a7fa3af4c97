"""Sockets as sources: a TCP connection, or datagrams of UDP."""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

from ...errors import ChunkError
from .bytes_of_rows import Note, blocks_of, message_blocks, quiet
from .pcm import Form
from .source import Block

LARGEST_DATAGRAM = 2**16
INDEX = struct.Struct("<Q")  # the number of a datagram's first row
LOOPBACK = "127.0.0.1"


class Tcp:
    """Raw numbers or lines from a TCP connection: to a peer, or from the first peer that connects.

    Args:
        host: The peer, or with `listen` the address to listen at.
        port: The port.
        listen: Whether the peer connects to us. Each call of `blocks` takes one peer.
        form: How the numbers are written.
        rate: Rows per second.
        note: Takes what is odd.

    Raises:
        OSError: The address cannot be listened at.
    """

    waits, comes = True, True

    def __init__(
        self, host: str, port: int, form: Form, rate: float | None = None, *, listen: bool = False, note: Note = quiet
    ) -> None:
        self.name, self.rate, self._form, self._note = f"tcp://{host}:{port}", rate, form, note
        self._address = host or LOOPBACK, port
        self._server = socket.create_server(self._address) if listen else None
        self._socket: socket.socket | None = None

    @property
    def port(self) -> int:
        """The port that is listened at."""
        return int(self._server.getsockname()[1]) if self._server else self._address[1]

    def blocks(self, rows: int) -> Iterator[Block]:
        """Give the rows of one connection in order; see `Source.blocks`."""
        self._socket = connection = self._connect()
        with connection, connection.makefile("rb") as file:
            # A chunk at a time: in packets of 10 ms, a wake for each took two thirds of the processor time.
            yield from blocks_of(
                file, self._form, rows, self.name, self._note, strict=False,
                read=lambda count: connection.recv(count, socket.MSG_WAITALL),
            )  # fmt: skip

    def close(self) -> None:
        """Close the connection, and listen no more."""
        for each in (self._socket, self._server):
            if each is not None:
                with suppress(OSError):  # it is closed already
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _connect(self) -> socket.socket:
        if self._server is not None:
            return self._server.accept()[0]
        try:
            connection = socket.create_connection(self._address, timeout=10)
        except OSError as error:
            raise OSError(f"{self.name}: nobody answers there ({error})") from None
        connection.settimeout(None)
        return connection


class Udp:
    """Datagrams of raw numbers or lines.

    Args:
        host: The address to listen at; empty: this machine only.
        port: The port; 0: any free one.
        form: How the numbers are written.
        rate: Rows per second.
        numbered: Whether each datagram starts with the number of its first row, 8 bytes, little-endian: then lost,
            repeated and swapped datagrams are known.
        note: Takes what is odd.

    Raises:
        OSError: The address cannot be listened at.
    """

    waits, comes = False, True

    def __init__(
        self, host: str, port: int, form: Form, rate: float | None = None, *, numbered: bool = False, note: Note = quiet
    ) -> None:
        self.name, self.rate, self._form, self._note = f"udp://{host}:{port}", rate, form, note
        self._numbered = numbered
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host or LOOPBACK, port))
        self._closed = False

    @property
    def port(self) -> int:
        """The port that is listened at."""
        return int(self._socket.getsockname()[1])

    def blocks(self, rows: int) -> Iterator[Block]:  # noqa: ARG002  a datagram is a block
        """Give the rows in order of arrival; see `Source.blocks`. An empty datagram is the end."""
        at = 0
        while not self._closed:
            try:
                data, _ = self._socket.recvfrom(LARGEST_DATAGRAM)
            except OSError:
                if self._closed:
                    return
                raise
            if not data:
                return
            if self._numbered:
                if len(data) < INDEX.size:
                    self._note("a datagram without a number", f"{self.name}: {len(data)} bytes, and no number of a row")
                    continue
                (at,), data = INDEX.unpack_from(data), data[INDEX.size :]
            for block in message_blocks(data, at, self._form, self.name, self._note):
                yield block
                at = block.at + len(block.rows)

    def close(self) -> None:
        """Listen no more."""
        self._closed = True
        with suppress(OSError):  # it was never connected
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def address(text: str, name: str) -> tuple[str, int]:
    """Return host and port of `host:port`.

    Raises:
        ChunkError: There is no port.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise ChunkError(f"{name}: wanted a host and a port, e.g. tcp://127.0.0.1:9000")
    return host.strip("[]"), int(port)
