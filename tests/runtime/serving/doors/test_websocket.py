"""The websocket door, called by another implementation of the protocol: answers, refusals, hostile and slow clients."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from tidegate.runtime.serving import wire
from tidegate.runtime.serving.access import Access
from tidegate.runtime.serving.requests import Limits, Reply, Request, Why
from tools.serving import FEATURES, alone, signal, small_model

pytest.importorskip("websockets")
pytest.importorskip("picows")
from tidegate.runtime.serving.server import Server
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


def message(name: str, frame: int, chunk: object = None, **fields: object) -> bytes:
    payload = b"" if chunk is None else chunk.tobytes()  # type: ignore[attr-defined]
    count = len(payload) // (4 * FEATURES)
    return wire.write_request(Request("", name, lambda *_: None, frame, count, payload, **fields))  # type: ignore[arg-type]


def serving(visit: Callable[[Server, str], Awaitable[None]], **limits: object) -> None:
    """Open a server with the small model, and let a test visit it at its address."""

    async def run() -> None:
        server = Server([small_model()], Limits(**{"streams": 16, **limits}))  # type: ignore[arg-type]
        port = await server.open_websocket(("127.0.0.1", 0))
        try:
            async with asyncio.timeout(60):
                await visit(server, f"ws://127.0.0.1:{port}/small")
        finally:
            await server.drain()

    asyncio.run(run())


async def opened(address: str) -> ClientConnection:
    """Return a connection that has heard the first message."""
    connection = await connect(address)
    await connection.recv()
    return connection


async def answer(connection: ClientConnection) -> Reply:
    reply = await connection.recv()
    assert isinstance(reply, bytes)
    return wire.read_reply(reply)[1]


def test_the_first_message_says_what_may_be_asked() -> None:
    async def visit(_server: Server, address: str) -> None:
        async with connect(address) as connection:
            hello = json.loads(await connection.recv())
        assert hello["tidegate"] == 1
        assert hello["shape"] == [FEATURES]
        assert hello["outputs"] == [{"name": "y", "shape": [3], "timed": True}]
        assert hello["limits"]["window"] == 8

    serving(visit)


def test_streams_of_many_connections_and_many_streams_of_one_answer_as_alone() -> None:
    async def stream(connection: ClientConnection, names: list[str]) -> list[bytes]:
        found: dict[str, bytes] = dict.fromkeys(names, b"")
        for at in range(0, 20, 5):
            for n, name in enumerate(names):
                await connection.send(message(name, at, signal(20, n)[at : at + 5], start=at == 0, end=at == 15))
            for _ in names:
                name, reply = wire.read_reply(await connection.recv())  # type: ignore[arg-type]
                assert reply.refused is None
                found[name] += reply.payload
        return [found[name] for name in names]

    async def visit(server: Server, address: str) -> None:
        connections = [await opened(address) for _ in range(4)]
        names = [[f"c{place}s{n}" for n in range(3)] for place in range(4)]
        answers = await asyncio.gather(*map(stream, connections, names))
        assert answers == [[alone(signal(20, n)) for n in range(3)]] * 4
        assert server.tickers["small"].engine.streams == 0
        for connection in connections:
            await connection.close()

    serving(visit)


def test_a_stream_goes_on_over_another_connection() -> None:
    async def visit(_server: Server, address: str) -> None:
        first, second = await opened(address), await opened(address)
        await first.send(message("s", 0, signal(10)[:4], start=True))
        head = await answer(first)
        first.transport.abort()
        await second.send(message("s", 0, ask=True))
        assert (await answer(second)).frame == 4
        await second.send(message("s", 4, signal(10)[4:]))
        assert head.payload + (await answer(second)).payload == alone(signal(10))
        await second.close()

    serving(visit)


def test_a_message_in_parts_is_one_message() -> None:
    async def visit(_server: Server, address: str) -> None:
        connection = await opened(address)
        whole = message("s", 0, signal(10), start=True)
        await connection.send([whole[:1], b"", whole[1:30], whole[30:]])
        assert (await answer(connection)).payload == alone(signal(10))
        await connection.close()

    serving(visit)


@pytest.mark.parametrize(
    ("sent", "code", "text"),
    [
        ("words", 1003, "messages are binary"),
        (b"", 1008, "has 0 bytes, wanted 24"),
        (b"\7" * 30, 1008, "of version 7, wanted 1"),
        (b"x" * 2**21, 1009, ""),
        ([b""] * 70, 1002, "64 parts"),
        ([b"x" * 20_000] * 4, 1002, "a message has up to"),
    ],
)
def test_row_42_a_hostile_message_closes_its_connection_and_no_other(
    sent: str | bytes | list[bytes], code: int, text: str
) -> None:
    async def visit(server: Server, address: str) -> None:
        good, bad = await opened(address), await opened(address)
        await good.send(message("good", 0, signal(10)[:4], start=True))
        head = await answer(good)
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012  the server may close while we send
            await bad.send(sent)
            await bad.recv()
        received = closed.value.rcvd
        assert received is not None
        assert received.code == code
        assert text in received.reason
        await good.send(message("good", 4, signal(10)[4:]))
        assert head.payload + (await answer(good)).payload == alone(signal(10))
        assert server.tickers["small"].engine.streams == 1
        await good.close()

    serving(visit)


def test_bytes_that_are_no_websocket_close_their_connection_only() -> None:
    async def visit(_server: Server, address: str) -> None:
        good = await opened(address)
        port = int(address.split(":")[2].split("/", maxsplit=1)[0])
        for sent in (b"\0" * 100, b"GET / HTTP/1.1\r\n" + b"a" * 2**18, b"POST / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            writer.write_eof()
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
        await good.send(message("good", 0, signal(10), start=True))
        assert (await answer(good)).payload == alone(signal(10))
        await good.close()

    serving(visit)


def test_row_191_a_client_that_does_not_read_is_not_read_and_delays_nobody() -> None:
    async def visit(server: Server, address: str) -> None:
        good, slow = await opened(address), await opened(address)
        slow.transport.pause_reading()
        frames = signal(1000)
        flood = [message("slow", 0, frames, start=True)] * 3000

        async def pour() -> None:
            for one in flood:
                await slow.send(one)

        pouring = asyncio.create_task(pour())
        found = b""
        for at in range(0, 1000, 10):
            await good.send(message("good", at, frames[at : at + 10], start=at == 0))
            found += (await answer(good)).payload
        assert found == alone(frames)
        pouring.cancel()
        slow.transport.abort()
        assert server.tickers["small"].engine.waiting_bytes <= 8 * frames.nbytes
        await good.close()

    serving(visit)


def test_refusals_have_their_reason_and_the_connection_stays_open() -> None:
    async def visit(_server: Server, address: str) -> None:
        connection = await opened(address)
        await connection.send(message("s", 7, signal(1)))
        refused = (await answer(connection)).refused
        assert refused is not None
        assert refused.why == Why.unknown
        await connection.send(message("s", 0, signal(1), start=True))
        assert (await answer(connection)).payload == alone(signal(1))
        await connection.close()

    serving(visit)


@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [
        ("/other", None, 404),
        ("/small", "https://evil.example", 401),
        ("/small", "null", 401),
        ("/small", "http://localhost:8080", 101),
        ("/", None, 101),
    ],
)
def test_row_192_a_page_of_another_origin_cannot_reach_a_server_on_this_machine(
    path: str, origin: str | None, status: int
) -> None:
    async def visit(_server: Server, address: str) -> None:
        where = address.removesuffix("/small") + path
        if status == 101:
            async with connect(where, origin=origin) as connection:  # type: ignore[arg-type]
                await connection.recv()
            return
        with pytest.raises(InvalidStatus) as refused:
            await connect(where, origin=origin)  # type: ignore[arg-type]
        assert refused.value.response.status_code == status

    serving(visit)


def test_row_197_a_browser_gives_its_token_as_a_subprotocol() -> None:
    async def visit(server: Server, address: str) -> None:
        owners = {hashlib.sha256(b"0123456789abcdef").digest(): "ann"}
        server.websocket_doors[0].access = Access(owners)
        async with connect(address, subprotocols=["tidegate", "0123456789abcdef"]) as connection:  # type: ignore[list-item]
            assert connection.subprotocol == "tidegate"
            await connection.recv()
            (held,) = server.websocket_doors[0].open
            assert held.owner == "ann"
        for offered in (["tidegate", "wrong-wrong-wrong"], ["tidegate"], None):
            with pytest.raises(InvalidStatus, match="401"):
                await connect(address, subprotocols=offered)  # type: ignore[arg-type]

    serving(visit)


def test_health_and_counters_are_pages_of_the_door() -> None:
    async def visit(server: Server, address: str) -> None:
        async def page(path: str) -> bytes:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", int(address.split(":")[2].split("/", maxsplit=1)[0])
            )
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            found = await reader.read()
            writer.close()
            return found

        health = await page("/health")
        assert b"200 OK" in health
        found = json.loads(health.partition(b"\r\n\r\n")[2])
        assert (found["ready"], found["models"]["small"]["streams"]) == (True, 0)
        assert b'tidegate_streams{model="small"} 0' in await page("/metrics")
        server.websocket_doors[0].access = Access({})
        assert json.loads((await page("/health")).partition(b"\r\n\r\n")[2]) == {"ready": True}
        assert b"401" in await page("/metrics")

    serving(visit)


def test_connections_have_a_limit() -> None:
    async def visit(server: Server, address: str) -> None:
        server.websocket_doors[0].most = 1
        first = await opened(address)
        with pytest.raises(InvalidStatus, match="503"):
            await connect(address)
        await first.close()
        await first.wait_closed()

    serving(visit)


def test_a_server_that_stops_answers_what_waits_and_says_moved() -> None:
    async def visit(server: Server, address: str) -> None:
        connection = await opened(address)
        await connection.send(message("s", 0, signal(3), start=True))
        assert (await answer(connection)).payload == alone(signal(3))
        await server.drain()
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "moved")

    serving(visit)


def test_a_connection_that_sends_too_much_is_read_again_in_the_next_second() -> None:
    async def visit(server: Server, address: str) -> None:
        door = server.websocket_doors[0]
        door.rate = 3
        connection = await opened(address)
        (held,) = door.open
        for n in range(3):
            await connection.send(message("s", n, signal(9)[n : n + 1], start=n == 0))
            assert (await answer(connection)).refused is None
        assert not held.reads
        door.breathe()
        assert held.reads
        await connection.send(message("s", 3, signal(9)[3:4]))
        assert (await answer(connection)).refused is None
        await connection.close()

    serving(visit)
