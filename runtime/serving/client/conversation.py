"""How a client gets a chunk answered: connect, ask, send again, wait, try elsewhere. The network is someone else's."""

from collections.abc import Generator
from dataclasses import dataclass

from .patience import Patience
from .session import LaterError, Sent, Session


class LostError(Exception):
    """The connection was lost, or could not be made."""


@dataclass(frozen=True)
class Connect:
    """Close the connection that is there, make one to an address, and give back its first message."""

    address: str
    seconds: float


@dataclass(frozen=True)
class Exchange:
    """Send a message, and give back the next one that comes."""

    message: bytes
    seconds: float


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


Step = Connect | Exchange | Pause
Conversation = Generator[Step, bytes | str, None]


def converse(session: Session, patience: Patience, sent: Sent | None) -> Conversation:
    """Give the steps that get a chunk answered; the steps' results are sent in, and LostError is thrown in.

    Args:
        session: The stream.
        patience: Where servers are, and how long to try.
        sent: The chunk, the last of the session; None: only connect.

    Raises:
        ChunkError: The chunk is refused.
        ServerError: No server answers in time, or the stream is lost.
    """
    while True:
        try:
            if not session.connected:
                yield from _connect(session, patience)
            while sent is not None and sent.answer is None:
                session.heard(_bytes((yield Exchange(session.message(sent), patience.left))), sent)
        except (LaterError, LostError) as error:
            elsewhere = error.elsewhere if isinstance(error, LaterError) else True
            session.connected = session.connected and not elsewhere
            pause = Pause(patience.pause(error, elsewhere=elsewhere))
        else:
            return
        yield pause


def _connect(session: Session, patience: Patience) -> Conversation:
    """Connect, and bring the server to where the stream was, but for the chunk that has never been sent."""
    session.greeted((yield Connect(patience.address, patience.left)))
    if session.began:
        for sent in session.again(_bytes((yield Exchange(session.opening(), patience.left)))):
            session.heard(_bytes((yield Exchange(session.message(sent), patience.left))), sent)
    session.connected = True


def _bytes(message: bytes | str) -> bytes:
    return message if isinstance(message, bytes) else message.encode()
