"""The door of the Open Inference Protocol over gRPC, unary and streaming: NVIDIA's tritonclient calls it unchanged."""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
import numpy as np

from ..access import Access
from ..repository import Repository, wants_adoption
from ..requests import Refused, Reply, Request, Why
from ..ticker import Ticker
from .inference import (
    EXTENSIONS,
    TYPES,
    VERSION,
    Call,
    Tensor,
    answers,
    ask,
    request_of,
    signals,
    submit,
    tensors_of,
    the_model,
)
from .oip_messages import SERVICE, message

Message = Any  # the classes of messages are made when the program runs
Context = Any  # grpc has no types

CODES = {
    Why.busy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Why.limit: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Why.moved: grpc.StatusCode.UNAVAILABLE,
    Why.model: grpc.StatusCode.FAILED_PRECONDITION,
    Why.missing: grpc.StatusCode.NOT_FOUND,
    Why.unknown: grpc.StatusCode.NOT_FOUND,
    Why.late: grpc.StatusCode.DEADLINE_EXCEEDED,
    Why.token: grpc.StatusCode.UNAUTHENTICATED,
}
CONTENTS = {"FP32": "fp32_contents", "INT32": "int_contents", "INT64": "int64_contents"}
OVERHEAD = 2**16  # bytes of a message besides its frames
MOST_CALLS = 4096  # at a time


class GrpcDoor:
    """The calls of all clients.

    Args:
        repository: The models.
        version: The version of tidegate.
        access: Who may come in.
    """

    def __init__(self, repository: Repository, version: str, access: Access) -> None:
        self._repository, self._version, self._access = repository, version, access
        self._tickers = repository.tickers
        largest = max(ticker.engine.largest_chunk for ticker in self._tickers.values())
        self._server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", largest + OVERHEAD), ("grpc.so_reuseport", 0)],
            maximum_concurrent_rpcs=MOST_CALLS,
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._handlers()),))

    async def listen(self, host: str, port: int) -> int:
        """Take calls at an address; return the port, which the system chooses for 0.

        Raises:
            OSError: The address is not free.
        """
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            chosen = self._add_port(name)
        except RuntimeError as error:
            raise OSError(f"{name}: {error}") from None
        await self._server.start()
        return int(chosen)

    def _add_port(self, name: str) -> int:
        certificate, key = self._access.certificate, self._access.key
        if certificate is None or key is None:
            return int(self._server.add_insecure_port(name))
        credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
        return int(self._server.add_secure_port(name, credentials))

    async def close(self, grace: float) -> None:
        """Refuse new calls, and end those that take longer than some seconds."""
        await self._server.stop(grace)

    def _handlers(self) -> dict[str, Any]:
        unary: dict[str, Callable[[Message, Message], None]] = {
            "ServerLive": lambda _, reply: setattr(reply, "live", True),
            "ServerReady": lambda _, reply: setattr(reply, "ready", self._repository.ready),
            "ModelReady": self._ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._metadata,
            "ModelStatistics": self._statistics,
            "RepositoryIndex": self._index,
        }
        handlers = {name: _method(name, fill) for name, fill in unary.items()}
        for name, change in (("Load", self._load), ("Unload", self._unload)):
            handlers[f"RepositoryModel{name}"] = _change(f"RepositoryModel{name}", change)
        request, reply = message("ModelInferRequest"), message("ModelInferResponse")
        several = message("ModelStreamInferResponse")
        handlers["ModelInfer"] = grpc.unary_unary_rpc_method_handler(
            self._infer, request.FromString, reply.SerializeToString
        )
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            self._stream, request.FromString, several.SerializeToString
        )
        return handlers

    # ---- calls about models ----

    def _ready(self, request: Message, reply: Message) -> None:
        reply.ready = request.name in self._tickers and request.version in ("", VERSION)

    def _server_metadata(self, _request: Message, reply: Message) -> None:
        reply.name, reply.version = "tidegate", self._version
        reply.extensions.extend(EXTENSIONS)

    def _metadata(self, request: Message, reply: Message) -> None:
        served = the_model(self._tickers, request.name, request.version).engine.served
        reply.name, reply.platform = served.name, "tidegate"
        reply.versions.append(VERSION)
        for field, tensors in ((reply.inputs, signals(served)), (reply.outputs, answers(served))):
            for tensor in tensors:
                field.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)

    def _statistics(self, request: Message, reply: Message) -> None:
        names = [request.name] if request.name else list(self._tickers)
        for name in names:
            counters = the_model(self._tickers, name, request.version).engine.counters
            made = reply.model_stats.add(name=name, version=VERSION)
            made.inference_count, made.execution_count = counters.chunks, counters.pushes
            made.inference_stats.success.count = counters.chunks
            made.inference_stats.success.ns = int(1e9 * counters.seconds)
            made.inference_stats.fail.count = sum(counters.refused.values())

    def _index(self, request: Message, reply: Message) -> None:
        for entry in self._repository.index():
            if entry.state == "READY" or not request.ready:
                reply.models.add(name=entry.name, version=VERSION, state=entry.state, reason=entry.reason)

    async def _load(self, request: Message, context: Context) -> None:
        self._access.check_operator(self._owner(context))
        await self._repository.load(request.model_name, adopts=wants_adoption(_parameters(request.parameters)))

    async def _unload(self, request: Message, context: Context) -> None:
        self._access.check_operator(self._owner(context))
        await self._repository.unload(request.model_name)

    # ---- inference ----

    async def _infer(self, message_: Message, context: Context) -> Message:
        try:
            left = context.time_remaining()
            patience = math.inf if left is None else left
            ticker, request, wanted = self._read(message_, self._owner(context), patience)
            return _write(ticker, message_, await ask(ticker, request), wanted)
        except Refused as refused:
            await _abort(context, refused)

    async def _stream(self, messages: AsyncIterator[Message], context: Context) -> AsyncIterator[Message]:
        """Answer the calls of one client, several at a time; those of one sequence in their order."""
        try:
            owner = self._owner(context)
        except Refused as refused:
            await _abort(context, refused)
        conversation = _Conversation(lambda one: self._read(one, owner))
        reader = asyncio.create_task(conversation.read(messages))
        try:
            while (reply := await conversation.next()) is not None:
                yield reply
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    def _owner(self, context: Context) -> str:
        return self._access.owner(dict(context.invocation_metadata() or ()).get("authorization"))

    def _read(self, message_: Message, owner: str, patience: float = math.inf) -> tuple[Ticker, Request, list[str]]:
        ticker = the_model(self._tickers, message_.model_name, message_.model_version)
        call = Call(
            _parameters(message_.parameters), _inputs(message_), [one.name for one in message_.outputs], patience
        )
        return ticker, request_of(ticker.engine.served, owner, call), list(call.outputs)


class _Conversation:
    """A streaming call: replies that wait to be written, and how many calls of each sequence are on their way."""

    def __init__(self, read: Callable[[Message], tuple[Ticker, Request, list[str]]]) -> None:
        self._read = read
        self._replies: asyncio.Queue[tuple[tuple[str, str], Message] | None] = asyncio.Queue()
        self._under_way: Counter[tuple[str, str]] = Counter()
        self._written = asyncio.Event()

    async def read(self, messages: AsyncIterator[Message]) -> None:
        """Give each call to its engine; a sequence that has a full window is read no further."""
        try:
            async for one in messages:
                await self._hear(one)
            while self._under_way:
                self._written.clear()
                await self._written.wait()
        finally:
            self._replies.put_nowait(None)

    async def next(self) -> Message | None:
        """Return the next reply; None if there are no more."""
        found = await self._replies.get()
        if found is None:
            return None
        key, reply = found
        self._under_way[key] -= 1
        if not self._under_way[key]:
            del self._under_way[key]
        self._written.set()
        return reply

    async def _hear(self, one: Message) -> None:
        try:
            ticker, request, wanted = self._read(one)
        except Refused as refused:
            await self._room(("", ""), 1)
            self._take(("", ""), _sorry(one, refused))
            return
        await self._room(request.key, ticker.engine.limits.window)
        submit(ticker, request, self._taker(ticker, one, wanted))

    async def _room(self, key: tuple[str, str], most: int) -> None:
        while self._under_way[key] >= most:
            self._written.clear()
            await self._written.wait()
        self._under_way[key] += 1

    def _taker(self, ticker: Ticker, one: Message, wanted: list[str]) -> Callable[[Request, Reply], None]:
        def take(request: Request, reply: Reply) -> None:
            if reply.refused is not None:
                self._take(request.key, _sorry(one, reply.refused))
                return
            made = message("ModelStreamInferResponse")()
            made.infer_response.CopyFrom(_write(ticker, one, reply, wanted))
            self._take(request.key, made)

        return take

    def _take(self, key: tuple[str, str], reply: Message) -> None:
        self._replies.put_nowait((key, reply))


async def _abort(context: Context, refused: Refused) -> None:
    """End a call with the status and the words of a refusal; grpc raises."""
    await context.abort(CODES.get(refused.why, grpc.StatusCode.INVALID_ARGUMENT), str(refused))


def _method(name: str, fill: Callable[[Message, Message], None]) -> Any:  # noqa: ANN401  grpc has no types
    """Return the handler of a call whose reply a function fills in."""
    request, made = message(f"{name}Request"), message(f"{name}Response")

    async def handle(given: Message, context: Context) -> Message:
        reply = made()
        try:
            fill(given, reply)
        except Refused as refused:
            await _abort(context, refused)
        return reply

    return grpc.unary_unary_rpc_method_handler(handle, request.FromString, made.SerializeToString)


def _change(name: str, change: Callable[[Message, Context], Awaitable[None]]) -> Any:  # noqa: ANN401
    """Return the handler of a call that changes the repository, and whose reply is empty."""
    request, made = message(f"{name}Request"), message(f"{name}Response")

    async def handle(given: Message, context: Context) -> Message:
        try:
            await change(given, context)
        except Refused as refused:
            await _abort(context, refused)
        return made()

    return grpc.unary_unary_rpc_method_handler(handle, request.FromString, made.SerializeToString)


def _parameters(given: Mapping[str, Message]) -> dict[str, object]:
    chosen = {name: value.WhichOneof("parameter_choice") for name, value in given.items()}
    return {name: getattr(given[name], field) for name, field in chosen.items() if field}


def _inputs(given: Message) -> list[Tensor]:
    """Return the inputs, whose values are raw bytes for all of them, or numbers."""
    raw = given.raw_input_contents
    if raw and len(raw) != len(given.inputs):
        raise Refused(Why.format, f"there are {len(raw)} raw contents for {len(given.inputs)} inputs")
    found = []
    for place, one in enumerate(given.inputs):
        data = raw[place] if raw else _numbers(one)
        found.append(Tensor(one.name, one.datatype, tuple(one.shape), data))
    return found


def _numbers(given: Message) -> bytes:
    if given.datatype not in TYPES:
        raise Refused(Why.format, f"input {given.name!r} is {given.datatype!r}, wanted one of {', '.join(TYPES)}")
    return np.array(getattr(given.contents, CONTENTS[given.datatype]), TYPES[given.datatype]).tobytes()


def _write(ticker: Ticker, request: Message, reply: Reply, wanted: list[str]) -> Message:
    made = message("ModelInferResponse")(model_name=request.model_name, model_version=VERSION, id=request.id)
    for tensor in tensors_of(ticker.engine.served, reply, wanted):
        made.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        made.raw_output_contents.append(tensor.data)
    return made


def _sorry(request: Message, refused: Refused) -> Message:
    made = message("ModelStreamInferResponse")(error_message=str(refused))
    made.infer_response.id = request.id
    return made
