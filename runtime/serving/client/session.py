"""What a client remembers of its stream, without a network: the chunks that a server may lose."""

import hashlib
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...arrays import Answer, Array, Chunk
from ...errors import ChunkError, ServerError
from ..requests import Refused, Reply, Request, Why
from ..wire import read_reply, write_request
from .form import Form

PLACE = "X-Session-Id"  # the header by which Ray Serve, Envoy and nginx place a connection


class LaterError(Exception):
    """The server cannot take the chunk now: send it again, here after a while, or elsewhere.

    Args:
        elsewhere: Whether another server has to be asked.
        text: Why.
    """

    def __init__(self, text: str, *, elsewhere: bool) -> None:
        super().__init__(text)
        self.elsewhere = elsewhere


@dataclass(slots=True)
class Sent:
    """A chunk that was sent.

    Attributes:
        request: The chunk.
        answer: Its answer; None before it came.
    """

    request: Request
    answer: bytes | None = None

    @property
    def beyond(self) -> int:
        """The number of the frame after the chunk."""
        return (self.request.frame or 0) + self.request.frames


class Session:
    """One stream of a client. A server answers one chunk before the next is sent.

    Args:
        name: The name of the stream; None: one that nobody else has.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = uuid.uuid4().hex if name is None else name
        self.form: Form | None = None
        self.next = 0
        self.durable = 0
        self.connected = False
        self.began = False  # whether a server has heard of the stream
        self._sent: deque[Sent] = deque()  # the last one may have no answer

    def headers(self, token: str | None) -> dict[str, str]:
        """Return what each connection says of itself: whose it is, and a hash of the stream's name.

        Whatever stands between a client and several servers can send each stream to the same server by the hash.
        """
        place = hashlib.blake2b(self.name.encode(), digest_size=16).hexdigest()
        return {PLACE: place} | ({"Authorization": f"Bearer {token}"} if token else {})

    @property
    def kept(self) -> int:
        """Chunks that a server may still lose."""
        return len(self._sent)

    def greeted(self, hello: str | bytes) -> None:
        """Take in the first message of a connection.

        Raises:
            ServerError: It is not tidegate's, or another model's than before.
        """
        form = Form.from_json(hello)
        if self.form is not None and form.outputs != self.form.outputs:
            raise ServerError("this server has another model than the stream began with; connect to one that has it")
        self.form = form

    def parts(self, chunk: Chunk) -> list[Array]:
        """Return a chunk in parts that a server takes.

        Raises:
            ChunkError: It has another shape or type.
        """
        form = self._known()
        frames = form.frames_of(chunk)
        return [frames[at : at + form.frames] for at in range(0, max(len(frames), 1), form.frames)]

    def joined(self, sent: Sequence[Sent]) -> Answer:
        """Return the answer to a chunk that was sent in parts."""
        form = self._known()
        answers = [form.answer_of(part.answer or b"", part.request.frames) for part in sent]
        return form.joined(answers)

    def end(self) -> Sent:
        """Return the end of the stream as a chunk without frames."""
        form = self._known()
        return self.add(np.empty((0, *form.shape), form.dtype), end=True)

    def add(self, frames: Array, *, end: bool = False) -> Sent:
        """Return the next chunk, which has not been sent yet."""
        request = Request(
            "", self.name, _nobody, self.next, len(frames), frames.tobytes(), self.next, start=self.next == 0, end=end
        )
        sent = Sent(request)
        self._sent.append(sent)
        self.next += len(frames)
        return sent

    def opening(self) -> bytes:
        """Return the question where the stream is, which a new connection starts with."""
        return write_request(Request("", self.name, _nobody, ask=True))

    def again(self, message: bytes) -> list[Sent]:
        """Return what has to be sent, after the server has said where the stream is.

        Raises:
            ServerError: The server lacks frames that are no longer kept.
            LaterError: The server cannot say it now.
        """
        reply = self._reply(message)
        if reply.refused is not None and reply.refused.why != Why.unknown:
            self._judge(reply.refused)
        wanted = 0 if reply.refused is not None else reply.frame
        first = self._sent[0].request.frame or 0 if self._sent else self.next
        if wanted < first:
            raise ServerError(
                f"stream {self.name!r} is lost: the server wants frame {wanted} next, and frames below {first} are no "
                "longer kept; serve with --store, or start another stream"
            )
        return [sent for sent in self._sent if sent.answer is None or (sent.request.frame or 0) >= wanted]

    def message(self, sent: Sent) -> bytes:
        """Return a chunk as a message; it acknowledges the answers before."""
        self.began = True
        return write_request(sent.request)

    def heard(self, message: bytes, sent: Sent) -> None:
        """Take in the reply to a chunk.

        Raises:
            ChunkError: The chunk is refused for what is in it; the stream is where it was before.
            ServerError: The stream cannot go on, or the reply is another than before.
            LaterError: The chunk has to be sent again.
        """
        reply = self._reply(message)
        if reply.refused is not None:
            if reply.refused.why in (Why.values, Why.size) and sent is self._sent[-1]:
                self._sent.pop()
                self.next = sent.request.frame or 0
                raise ChunkError(str(reply.refused))
            self._judge(reply.refused)
        if (reply.frame, reply.frames) != (sent.request.frame, sent.request.frames):
            raise ServerError(f"the server answers frame {reply.frame}, wanted {sent.request.frame}; connect again")
        if sent.answer is not None and sent.answer != reply.payload:
            raise ServerError(f"frame {reply.frame} was answered with other values than before; is it another model?")
        sent.answer = reply.payload
        self.durable = max(self.durable, min(reply.durable, self.next))
        self._forget()

    def _known(self) -> Form:
        if self.form is None:
            raise ServerError("no server has been reached yet; push a chunk first")
        return self.form

    def _forget(self) -> None:
        """Forget the chunks that no server loses any more; without a store those that are answered."""
        limit = self.durable if self.form is not None and self.form.durable else self.next
        while self._sent and self._sent[0].answer is not None and self._sent[0].beyond <= limit:
            self._sent.popleft()

    def _reply(self, message: bytes) -> Reply:
        try:
            _, reply = read_reply(message)
        except Refused as refused:
            raise ServerError(f"the server's message cannot be read: {refused}") from None
        return reply

    def _judge(self, refused: Refused) -> None:
        if refused.why in (Why.busy, Why.limit, Why.moved, Why.gap, Why.unknown):
            raise LaterError(str(refused), elsewhere=refused.why != Why.busy)
        raise ServerError(f"the server refuses the stream: {refused}")


def _nobody(_request: Request, _reply: Reply) -> None:
    """Take no reply: a client's request is answered by a message."""
