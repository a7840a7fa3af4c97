"""The door of the Open Inference Protocol over HTTP: JSON, with tensors as numbers or as bytes behind it."""

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import uvicorn

from ..access import Access, from_this_machine
from ..metrics import KIND, health_text, metrics_text
from ..repository import Repository, wants_adoption
from ..requests import Refused, Why
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
    tensors_of,
    the_model,
)

Json = dict[str, Any]
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Json]]
Send = Callable[[Json], Awaitable[None]]

BINARY = "inference-header-content-length"  # the header that says how many bytes of a body are JSON
STATUS = {
    Why.busy: 429,
    Why.limit: 429,
    Why.moved: 503,
    Why.model: 409,
    Why.missing: 404,
    Why.unknown: 404,
    Why.token: 401,
    Why.late: 504,
}
PER_VALUE = 32  # bytes of a number in JSON, at most
OVERHEAD = 2**16  # bytes of a body besides its frames
MOST_CALLS = 4096  # at a time
PATIENCE = 30.0  # seconds for the rest of a request, which keeps a place from others


class HttpDoor:
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
        self._most = OVERHEAD + largest // 4 * PER_VALUE
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._silent: dict[tuple[Any, object], float] = {}  # since when no whole request came

    async def listen(self, host: str, port: int) -> int:
        """Take calls at an address; return the port, which the system chooses for 0.

        Raises:
            OSError: The address is not free.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        opened = socket.create_server((host, port), family=family, backlog=1024)
        config = uvicorn.Config(
            self.answer,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=MOST_CALLS,
            ssl_certfile=self._access.certificate,
            ssl_keyfile=self._access.key,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[opened]))
        return int(opened.getsockname()[1])

    def breathe(self) -> None:
        """Close the connections on which no whole head of a request came for too long: uvicorn would wait for ever."""
        now, open_ = time.monotonic(), self._server.server_state.connections if self._server else set()
        known: list[Any] = [one for one in open_ if hasattr(one, "cycle")]  # the request of a connection, in h11 too
        waiting = [(one, one.cycle) for one in known if one.cycle is None or one.cycle.response_complete]
        self._silent = {pair: self._silent.get(pair, now) for pair in waiting}
        for (connection, _), since in self._silent.items():
            if now - since >= PATIENCE:
                connection.transport.close()

    async def close(self, grace: float) -> None:
        """Refuse new calls, and end those that take longer than some seconds."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._task, grace)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call: what the server calls for each, by ASGI."""
        if scope["type"] != "http":
            return
        try:
            status, headers, body = 200, *await self._reply(scope, receive)
        except Refused as refused:
            status, headers = STATUS.get(refused.why, 400), {}
            body = json.dumps({"error": str(refused)}).encode()
        kind = b"application/octet-stream" if BINARY in headers else b"application/json"
        if scope["path"] == "/metrics" and status == 200:
            kind = KIND.encode()
        pairs = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        pairs += [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    async def _reply(self, scope: Scope, receive: Receive) -> tuple[dict[str, str], bytes]:
        """Return the headers and the body for a path."""
        parts = [part for part in scope["path"].split("/") if part]
        method, headers = scope["method"], dict(scope["headers"])
        if not from_this_machine(headers.get(b"origin", b"").decode("latin-1") or None):
            raise Refused(Why.token, "pages of this machine are served, no others")
        if (parts == ["health"] or parts[:2] == ["v2", "health"]) and method == "GET":
            return {}, self._health(parts, headers)
        owner = self._owner(headers)
        body = await self._body(receive)
        if parts[:2] == ["v2", "models"] and parts[2:] not in ([], ["stats"]):
            return await self._about_model(parts[2:], scope, body, owner)
        if parts[:2] == ["v2", "repository"] and method == "POST":
            return await self._about_repository(parts[2:], scope, body, owner)
        match (method, parts):
            case "GET", ["v2"]:
                return _as_json({"name": "tidegate", "version": self._version, "extensions": EXTENSIONS})
            case "GET", ["metrics"]:
                return {}, metrics_text(self._repository.engines)
            case "GET", ["v2", "models", "stats"]:
                return _as_json({"model_stats": [_statistics(ticker) for ticker in self._tickers.values()]})
        raise _no_path(scope)

    def _owner(self, headers: Mapping[bytes, bytes]) -> str:
        return self._access.owner(headers.get(b"authorization", b"").decode("latin-1"))

    def _health(self, parts: list[str], headers: Mapping[bytes, bytes]) -> bytes:
        """Return the page of the server's health, without a token without counters; those of the protocol are empty.

        Raises:
            Refused: It is asked whether the server is ready, and it is not.
        """
        if parts[2:] == ["ready"] and not self._repository.ready:
            raise Refused(Why.moved, "this server stops; go on at another one")
        if parts != ["health"]:
            return b""
        try:
            self._owner(headers)
            known = True
        except Refused:
            known = False
        return health_text(self._repository.engines, ready=self._repository.ready, known=known)

    async def _about_repository(
        self, parts: list[str], scope: Scope, body: bytes, owner: str
    ) -> tuple[dict[str, str], bytes]:
        fields = _object(body or b"{}")
        match parts:
            case ["index"]:
                found = [
                    entry for entry in self._repository.index() if entry.state == "READY" or not fields.get("ready")
                ]
                return _as_json([{**entry._asdict(), "version": VERSION} for entry in found])
            case ["models", name, "load"]:
                self._access.check_operator(owner)
                await self._repository.load(name, adopts=wants_adoption(_dict(fields, "parameters")))
                return {}, b""
            case ["models", name, "unload"]:
                self._access.check_operator(owner)
                await self._repository.unload(name)
                return {}, b""
        raise _no_path(scope)

    async def _about_model(
        self, parts: list[str], scope: Scope, body: bytes, owner: str
    ) -> tuple[dict[str, str], bytes]:
        name, *rest = parts
        version = ""
        if len(rest) > 1 and rest[0] == "versions":
            version, rest = rest[1], rest[2:]
        ticker = the_model(self._tickers, name, version)
        served, method = ticker.engine.served, scope["method"]
        match (method, rest):
            case "GET", []:
                inputs, outputs = (list(map(_described, found)) for found in (signals(served), answers(served)))
                found = {"name": served.name, "versions": [VERSION], "platform": "tidegate"}
                return _as_json({**found, "inputs": inputs, "outputs": outputs})
            case "GET", ["ready"]:
                return {}, b""
            case "GET", ["stats"]:
                return _as_json({"model_stats": [_statistics(ticker)]})
            case "POST", ["infer"]:
                return await _infer(ticker, dict(scope["headers"]), body, owner)
        raise _no_path(scope)

    async def _body(self, receive: Receive) -> bytes:
        """Return the body of a call.

        Raises:
            Refused: It is too large or too slow, or its client went away.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._parts(receive)
        except TimeoutError:
            raise Refused(Why.late, f"the body did not come within {PATIENCE:g} seconds; send it again") from None

    async def _parts(self, receive: Receive) -> bytes:
        parts, size = [], 0
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise Refused(Why.format, "the client went away")
            part = event.get("body", b"")
            size += len(part)
            if size > self._most:
                raise Refused(Why.size, f"the body has more than {self._most} bytes, the most that a call can have")
            parts.append(part)
            if not event.get("more_body"):
                return b"".join(parts)


class _Server(uvicorn.Server):
    """The server, in a loop whose signals are someone else's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def _no_path(scope: Scope) -> Refused:
    text = f"{scope['method']} {scope['path'][:100]!r} is not there; docs/serve.md has the paths"
    return Refused(Why.missing, text)


async def _infer(
    ticker: Ticker, headers: Mapping[bytes, bytes], body: bytes, owner: str
) -> tuple[dict[str, str], bytes]:
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise Refused(Why.format, "compressed bodies are not read; send the body as it is")
    fields, raw = _split(headers.get(BINARY.encode()), body)
    parameters = _dict(fields, "parameters")
    outputs = [_dict({"output": one}, "output") for one in _list(fields, "outputs")]
    wanted = [str(one.get("name", "")) for one in outputs]
    call = Call(parameters, _inputs(_list(fields, "inputs"), raw), wanted)
    reply = await ask(ticker, request_of(ticker.engine.served, owner, call))
    whole = bool(parameters.get("binary_data_output", False))
    in_bytes = [bool(_dict(one, "parameters").get("binary_data", whole)) for one in outputs]
    binary = dict(zip(wanted, in_bytes, strict=True))
    described, data = [], []
    for tensor in tensors_of(ticker.engine.served, reply, wanted):
        one: Json = _described(tensor)
        if binary.get(tensor.name, whole):
            one["parameters"] = {"binary_data_size": len(tensor.data)}
            data.append(tensor.data)
        else:
            one["data"] = np.frombuffer(tensor.data, "<f4").tolist()
        described.append(one)
    found = {"model_name": ticker.engine.served.name, "model_version": VERSION, "outputs": described}
    if "id" in fields:
        found["id"] = str(fields["id"])
    head = json.dumps(found).encode()
    return ({BINARY: str(len(head))} if data else {}), b"".join([head, *data])


def _split(length: bytes | None, body: bytes) -> tuple[Json, bytes]:
    """Return the JSON of a body, and the bytes behind it."""
    if length is not None and not (length.isdigit() and len(length) < 12 and int(length) <= len(body)):
        text = f"{BINARY} is {length[:20]!r}, wanted a number up to the {len(body)} bytes of the body"
        raise Refused(Why.format, text)
    size = len(body) if length is None else int(length)
    return _object(body[:size]), body[size:]


def _object(text: bytes) -> Json:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(Why.format, f"the body is not JSON ({error})") from None
    if not isinstance(fields, dict):
        raise Refused(Why.format, f"the body is a JSON {type(fields).__name__}, wanted an object")
    return fields


def _inputs(given: list[Any], raw: bytes) -> list[Tensor]:
    """Return the inputs, each as numbers, or as so many of the bytes behind the JSON."""
    found, at = [], 0
    for one in given:
        fields = _dict({"input": one}, "input")
        name, datatype, shape = str(fields.get("name", "")), str(fields.get("datatype", "")), _list(fields, "shape")
        if not all(type(size) is int for size in shape) or datatype not in TYPES:
            raise Refused(Why.format, f"input {name[:64]!r} is {datatype[:16]!r}, wanted one of {', '.join(TYPES)}")
        size = _dict(fields, "parameters").get("binary_data_size")
        if size is None:
            data = _numbers(name, datatype, _list(fields, "data"))
        elif type(size) is int and 0 <= size <= len(raw) - at:
            data, at = raw[at : at + size], at + size
        else:
            raise Refused(Why.size, f"input {name[:64]!r} has {size!r} bytes, {len(raw) - at} are there")
        found.append(Tensor(name, datatype, tuple(shape), data))
    return found


def _numbers(name: str, datatype: str, data: list[Any]) -> bytes:
    try:
        with np.errstate(over="ignore"):  # too large a value becomes infinity, which is refused
            return np.array(data, np.float64 if datatype == "FP32" else np.int64).astype(TYPES[datatype]).tobytes()
    except (ValueError, TypeError, OverflowError) as error:
        raise Refused(Why.format, f"input {name[:64]!r} holds what is no {datatype} ({error})") from None


def _dict(fields: Json, name: str) -> Json:
    found = fields.get(name, {})
    if not isinstance(found, dict):
        raise Refused(Why.format, f"{name} is a JSON {type(found).__name__}, wanted an object")
    return found


def _list(fields: Json, name: str) -> list[Any]:
    found = fields.get(name, [])
    if not isinstance(found, list):
        raise Refused(Why.format, f"{name} is a JSON {type(found).__name__}, wanted a list")
    return found


def _described(tensor: Tensor) -> Json:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _statistics(ticker: Ticker) -> Json:
    counters = ticker.engine.counters
    return {
        "name": ticker.engine.served.name,
        "version": VERSION,
        "inference_count": counters.chunks,
        "execution_count": counters.pushes,
        "inference_stats": {
            "success": {"count": counters.chunks, "ns": int(1e9 * counters.seconds)},
            "fail": {"count": sum(counters.refused.values()), "ns": 0},
        },
    }


def _as_json(found: object) -> tuple[dict[str, str], bytes]:
    return {}, json.dumps(found).encode()
