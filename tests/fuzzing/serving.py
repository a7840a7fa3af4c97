"""A server without sockets: what comes over its connections is given to its doors, as their libraries would."""

import asyncio
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from fuzzing.starts import messages
from tidegate.runtime.serving.access import Access
from tidegate.runtime.serving.client.form import Form
from tidegate.runtime.serving.doors.inference_grpc import GrpcDoor
from tidegate.runtime.serving.doors.inference_http import BINARY, HttpDoor
from tidegate.runtime.serving.engine import Engine
from tidegate.runtime.serving.log import Log
from tidegate.runtime.serving.repository import Repository
from tidegate.runtime.serving.requests import Limits, Refused, Reply, Request, Why
from tidegate.runtime.serving.wire import read_reply, read_request
from tools.serving import HELLO, small_model

LIMITS = Limits(streams=4, frames=16, window=3, idle=-1.0)  # every stream is given up at the next sweep


class Doors:
    """The doors of a server of one model.

    Attributes:
        loop: The loop in which it lives.
        engine: The engine behind the doors.
        http: The HTTP door.
        infer: What the gRPC door does with a call.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        repository = Repository([small_model()], LIMITS, None, Log(), adopts=False)
        self.engine: Engine = repository.engines["small"]
        self.http = HttpDoor(repository, "0", Access())
        self.infer: Callable[[bytes, object], Any] = (
            GrpcDoor(repository, "0", Access())._handlers()["ModelInfer"].unary_unary
        )

    def tidy(self) -> None:
        """Forget all streams.

        Raises:
            AssertionError: Something of them is left.
        """
        while self.engine.waits:
            self.engine.tick()
        self.engine.sweep()
        assert (self.engine.streams, self.engine.waiting_bytes) == (0, 0)


@cache
def doors() -> Doors:
    """Return the server of this process."""
    return Doors()


def answer_websocket(data: bytes) -> None:
    """Answer the messages of a conversation; the last refusal of the wire itself ends it.

    Raises:
        Refused: The last message that was read is refused.
        AssertionError: A request has no reply, or two.
    """
    engine, replies, asked, refused = doors().engine, [], 0, None

    def take(_request: Request, reply: Reply) -> None:
        replies.append(reply)

    for one in messages(data):
        try:
            request = read_request(one, "", take)
        except Refused as error:  # the door closes the connection
            refused = error
            break
        engine.submit(request)
        asked += 1
        engine.tick()
    doors().tidy()
    assert len(replies) == asked
    if refused := refused or next((reply.refused for reply in replies if reply.refused), None):
        raise refused


def answer_http(data: bytes) -> None:
    """Answer a call, of which the first line has method, path and the length of the JSON.

    Raises:
        Refused: The call is refused.
    """
    head, _, body = data.partition(b"\n")
    method, path, length = (*head.decode("latin-1").split(" ", 2), "GET", "/", "-")[:3]
    headers = [] if length == "-" else [(BINARY.encode(), length.encode("latin-1"))]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    doors().loop.run_until_complete(doors().http.answer(scope, receive, send))
    doors().tidy()
    begun, said = sent
    assert b"\n" not in b"".join(value for _, value in begun["headers"])
    if begun["status"] != 200:
        raise Refused(Why.format, said["body"].decode())  # whatever it was


class _Call:
    """What grpc says of a call."""

    def time_remaining(self) -> None:
        """Say that its client waits for ever."""

    def invocation_metadata(self) -> tuple[()]:
        """Say that it has no headers."""
        return ()

    async def abort(self, code: object, text: str) -> None:
        """End it."""
        raise Refused(Why.format, f"{code} {text}")  # whatever it was


def answer_grpc(data: bytes) -> None:
    """Answer a call for an inference.

    Raises:
        Refused: The call is refused.
    """
    doors().loop.run_until_complete(doors().infer(data, _Call())).SerializeToString()
    doors().tidy()


@cache
def _form() -> Form:
    return Form.from_json(json.dumps(HELLO))


def read_answer(data: bytes) -> None:
    """Read a reply as a client does.

    Raises:
        Refused: It is none.
        ServerError: It has not the bytes of the model's outputs.
    """
    _, reply = read_reply(data)
    if reply.refused is not None:
        raise reply.refused
    _form().answer_of(reply.payload, reply.frames)
