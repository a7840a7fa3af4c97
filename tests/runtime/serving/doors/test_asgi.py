"""The websocket door of an ASGI host, with a host and clients of two other libraries: uvicorn and websockets."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tidegate.runtime.serving.access import Access
from tidegate.runtime.serving.requests import Limits, Request
from tidegate.runtime.serving.wire import write_request
from tools.serving import alone, signal, small_model

pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
import uvicorn
from tidegate.client import AsyncStream
from tidegate.runtime.serving.doors.asgi import MOST_UNSENT, AsgiDoor, Event
from tidegate.runtime.serving.server import Server
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

TOKEN = "0123456789abcdef"  # noqa: S105  of this test


def hosting(visit: Callable[[Server, int], Awaitable[None]], access: Access | None = None) -> None:
    """Put the door with the small model into uvicorn, and let a test visit it at its port."""

    async def run() -> None:
        server = Server([small_model()], Limits(streams=16), access=access)
        door = AsgiDoor(server.repository, access)
        wanted = {"port": 0, "lifespan": "off", "log_config": None, "timeout_graceful_shutdown": 1}
        host = uvicorn.Server(uvicorn.Config(door, **wanted))  # type: ignore[arg-type]
        task = asyncio.create_task(host.serve())
        while not host.started:
            await asyncio.sleep(0.001)
        try:
            async with asyncio.timeout(60):
                await visit(server, host.servers[0].sockets[0].getsockname()[1])
        finally:
            host.should_exit = True
            await task
            await server.drain()

    asyncio.run(run())


def test_streams_of_the_client_have_their_bits() -> None:
    async def stream(port: int, number: int) -> bytes:
        frames = signal(60, number)
        async with AsyncStream(f"ws://127.0.0.1:{port}/small") as opened:
            parts = [await opened.push(frames[at : at + 7]) for at in range(0, 60, 7)]
            await opened.finish()
        return b"".join(part.tobytes() for part in parts)

    async def visit(server: Server, port: int) -> None:
        found = await asyncio.gather(*(stream(port, number) for number in range(8)))
        assert found == [alone(signal(60, number)) for number in range(8)]
        assert server.engines["small"].counters.started == 8

    hosting(visit)


def test_a_page_says_the_health_and_its_counters_only_to_who_may_come_in(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(f"ann {TOKEN}\n")

    def page(port: int, **headers: str) -> object:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/", headers=headers)) as found:
            return json.load(found)

    async def visit(_server: Server, port: int) -> None:
        assert await asyncio.to_thread(page, port) == {"ready": True}
        known = await asyncio.to_thread(page, port, Authorization=f"Bearer {TOKEN}")
        assert isinstance(known, dict)
        assert known["models"]["small"]["streams"] == 0

    hosting(visit, Access.of(tokens))


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/other", {}), ("/small", {"Origin": "https://evil.example"}), ("/small", {"Authorization": "Bearer wrong"})],
)
def test_who_may_not_come_in_is_refused_before_the_first_message(
    path: str, headers: dict[str, str], tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(f"ann {TOKEN}\n")
    allowed = {"Authorization": f"Bearer {TOKEN}"}

    async def visit(_server: Server, port: int) -> None:
        with pytest.raises(InvalidStatus, match="403"):
            await connect(f"ws://127.0.0.1:{port}{path}", additional_headers=allowed | headers)
        async with connect(f"ws://127.0.0.1:{port}/small", additional_headers=allowed) as connection:
            assert json.loads(await connection.recv())["model"] == "small"

    hosting(visit, Access.of(tokens))


@pytest.mark.parametrize(
    ("sent", "code", "text"),
    [
        ("words", 1003, "messages are binary"),
        (b"", 1008, "has 0 bytes, wanted 24"),
        (b"\7" * 30, 1008, "of version 7, wanted 1"),
        (b"x" * 30_000, 1009, "a message has up to 24664 bytes"),
    ],
)
def test_a_hostile_message_closes_its_connection_and_no_other(sent: str | bytes, code: int, text: str) -> None:
    async def visit(_server: Server, port: int) -> None:
        async with AsyncStream(f"ws://127.0.0.1:{port}/small") as good:
            head = await good.push(signal(10)[:4])
            bad = await connect(f"ws://127.0.0.1:{port}/small")
            with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012  the server may close while we send
                await bad.recv()
                await bad.send(sent)
                await bad.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == code
            assert text in closed.value.rcvd.reason
            tail = await good.push(signal(10)[4:])
            assert head.tobytes() + tail.tobytes() == alone(signal(10))

    hosting(visit)


def test_messages_wait_unread_while_replies_are_not_taken() -> None:
    """The host stops taking replies; as many messages are read as replies may wait, and one more."""
    read = 0
    question = write_request(Request("", "s", lambda *_: None, ask=True))

    async def run() -> None:
        async def receive() -> Event:
            nonlocal read
            read += 1
            await asyncio.sleep(0)
            return {"type": "websocket.connect"} if read == 1 else {"type": "websocket.receive", "bytes": question}

        async def send(event: Event) -> None:
            if event.get("bytes"):
                await asyncio.Event().wait()

        server = Server([small_model()], Limits(streams=16))
        door = AsgiDoor(server.repository)
        scope = {"type": "websocket", "path": "/", "headers": []}
        task = asyncio.create_task(door(scope, receive, send))
        for _ in range(20 * MOST_UNSENT):
            await asyncio.sleep(0)
        task.cancel()
        await server.drain()

    asyncio.run(run())
    assert read == MOST_UNSENT + 2  # the connection itself, and the message that the first reply made room for
