"""A server: several models, idle streams, and how it stops."""

import asyncio
import os
import signal as signals

import pytest
from tidegate.runtime.errors import ModelError, ServerError
from tidegate.runtime.serving.requests import Limits
from tools.serving import Client, alone, signal, small_model

pytest.importorskip("picows")
from tidegate.runtime.serving.server import Server, serve


def test_two_models_of_one_name_are_refused() -> None:
    async def run() -> None:
        Server([small_model("a"), small_model("b"), small_model("a")])

    with pytest.raises(ModelError, match="two models are called 'a'; rename one file"):
        asyncio.run(run())


def test_models_have_streams_of_their_own() -> None:
    async def run() -> None:
        server = Server([small_model("a"), small_model("b")], Limits(streams=2))
        for name in ("a", "b"):
            server.tickers[name].submit(clients[name].request(signal(4), frame=0, start=True))
        await server.drain()

    clients = {name: Client() for name in ("a", "b")}
    asyncio.run(run())
    assert [client.answers for client in clients.values()] == [alone(signal(4))] * 2


@pytest.mark.parametrize("number", [signals.SIGTERM, signals.SIGINT])
def test_a_signal_stops_it(number: signals.Signals) -> None:
    def ready(ports: dict[str, int]) -> None:
        assert ports["ws"] > 0
        os.kill(os.getpid(), number)

    asyncio.run(asyncio.wait_for(serve([small_model()], websocket=("127.0.0.1", 0), ready=ready), 60))


def test_a_system_without_its_signals_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signals, "SIGHUP")  # as on Windows
    with pytest.raises(ServerError, match=r"Windows has no signals .*; serve on Linux or macOS, or in WSL"):
        asyncio.run(serve([]))


@pytest.mark.parametrize(("door", "reason"), [("websocket", "in use"), ("grpc", "cannot be"), ("http", "in use")])
def test_an_address_that_is_taken_is_an_error(door: str, reason: str) -> None:
    async def run() -> None:
        first = Server([small_model()])
        port = await first.open_websocket(("127.0.0.1", 0))
        second = Server([small_model()])
        try:
            await getattr(second, f"open_{door}")(("127.0.0.1", port))
        finally:
            await second.drain()
            await first.drain()

    with pytest.raises(OSError, match=rf"^127.0.0.1:\d+: .*{reason}.*; wanted an address .* free port, or 0 for any$"):
        asyncio.run(run())
