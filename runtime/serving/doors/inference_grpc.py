"""The door of the Open Inference Protocol over gRPC, unary and streaming: NVIDIA's tritonclient calls it unchanged."""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError

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
PAUSE = 0.2  # seconds between two looks whether grpcio has closed the door
GRACE = 30.0  # seconds in which calls end that came through a door which grpcio has closed


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
        self._servers: list[Any] = []  # the newest takes calls; those before end theirs
        self._watch: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int) -> int:
        """Take calls at an address; return the port, which the system chooses for 0.

        Raises:
            OSError: The address is not free.
        """
        chosen = await self._open(host, port)
        self._watch = asyncio.create_task(self._stay_open(host, chosen))
        return chosen

    async def close(self, grace: float) -> None:
        """Refuse new calls, and end those that take longer than some seconds."""
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*(server.stop(grace) for server in self._servers))

    async def _open(self, host: str, port: int) -> int:
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        largest = max(ticker.engine.largest_chunk for ticker in self._tickers.values())
        server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", largest + OVERHEAD), ("grpc.so_reuseport", 0)],
            maximum_concurrent_rpcs=MOST_CALLS,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._handlers()),))
        try:
            chosen = self._add_port(server, name)
        except RuntimeError as error:
            raise OSError(f"{name}: {error}") from None
        await server.start()
        self._servers.append(server)
        return chosen

    async def _stay_open(self, host: str, port: int) -> None:
        """Open the door again when grpcio has closed it, as it does after a call whose name is not UTF-8.

        The calls that are under way go on meanwhile; their clients are told to connect again for the next.
        """
        ending: set[asyncio.Task[None]] = set()
        while True:
            if await _is_open(self._servers[-1]):
                continue
            with contextlib.suppress(OSError):  # the address may not be free yet
                await self._open(host, port)
                task = asyncio.create_task(self._end(self._servers[-2]))
                ending.add(task)  # the loop itself would forget it
                task.add_done_callback(ending.discard)

    async def _end(self, server: Any) -> None:  # noqa: ANN401  grpc has no types
        await server.stop(GRACE)
        self._servers.remove(server)

    def _add_port(self, server: Any, name: str) -> int:  # noqa: ANN401
        certificate, key = self._access.certificate, self._access.key
        if certificate is None or key is None:
            return int(server.add_insecure_port(name))
        credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
        return int(server.add_secure_port(name, credentials))

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
        several = message("ModelStreamInferResponse")
        handlers["ModelInfer"] = _unary("ModelInfer", self._infer)
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            self._stream, None, several.SerializeToString
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
        left = context.time_remaining()
        patience = math.inf if left is None else left
        ticker, request, wanted = self._read(message_, self._owner(context), patience)
        return _write(ticker, message_, await ask(ticker, request), wanted)

    async def _stream(self, messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[Message]:
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

    async def read(self, messages: AsyncIterator[bytes]) -> None:
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

    async def _hear(self, raw: bytes) -> None:
        one = None
        try:
            one = _parsed("ModelInferRequest", raw)
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


async def _is_open(server: Any) -> bool:  # noqa: ANN401  grpc has no types
    """Wait a moment, and return whether a server still takes calls."""
    try:
        return bool(await server.wait_for_termination(PAUSE))
    except Exception:  # noqa: BLE001  whatever has stopped it: grpcio has told the log
        return False


async def _abort(context: Context, refused: Refused) -> None:
    """End a call with the status and the words of a refusal; grpc raises."""
    try:
        await context.abort(CODES.get(refused.why, grpc.StatusCode.INVALID_ARGUMENT), str(refused))
    except grpc.aio.InternalError:  # the client is gone: there is nobody to tell
        raise asyncio.CancelledError from None


def _parsed(name: str, raw: bytes) -> Message:
    """Read a message. grpcio is not asked to: if the sender of a wrong one is gone, it prints a traceback."""
    try:
        return message(name).FromString(raw)
    except DecodeError as error:
        raise Refused(Why.format, f"the message cannot be read ({error})") from None


def _unary(name: str, answer: Callable[[Message, Context], Awaitable[Message]]) -> Any:  # noqa: ANN401
    """Return the handler of a call that has one reply."""

    async def handle(raw: bytes, context: Context) -> Message:
        try:
            return await answer(_parsed(f"{name}Request", raw), context)
        except Refused as refused:
            await _abort(context, refused)

    return grpc.unary_unary_rpc_method_handler(handle, None, message(f"{name}Response").SerializeToString)


def _method(name: str, fill: Callable[[Message, Message], None]) -> Any:  # noqa: ANN401
    """Return the handler of a call whose reply a function fills in."""

    async def answer(request: Message, _context: Context) -> Message:
        reply = message(f"{name}Response")()
        fill(request, reply)
        return reply

    return _unary(name, answer)


def _change(name: str, change: Callable[[Message, Context], Awaitable[None]]) -> Any:  # noqa: ANN401
    """Return the handler of a call that changes the repository, and whose reply is empty."""

    async def answer(request: Message, context: Context) -> Message:
        await change(request, context)
        return message(f"{name}Response")()

    return _unary(name, answer)


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


def _sorry(request: Message | None, refused: Refused) -> Message:
    made = message("ModelStreamInferResponse")(error_message=str(refused))
    made.infer_response.id = request.id if request is not None else ""
    return made
