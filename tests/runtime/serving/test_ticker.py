"""An engine in an event loop: what came in one round is pushed together."""

import asyncio

import pytest
from tidegate.runtime.serving import ticker as module
from tidegate.runtime.serving.engine import Engine
from tidegate.runtime.serving.requests import Limits
from tidegate.runtime.serving.ticker import Ticker
from tools.serving import Client, alone, signal, small_model


def test_chunks_of_one_round_share_a_push_and_every_chunk_that_waits_comes_to_its_turn() -> None:
    async def run() -> Engine:
        ticker = Ticker(Engine(small_model(), Limits(streams=4)))
        for client in clients:
            for n in range(3):
                ticker.submit(client.request(signal(9)[3 * n : 3 * n + 3], frame=3 * n, got=0, start=n == 0))
        while ticker.engine.waits:
            await asyncio.sleep(0)
        return ticker.engine

    clients = [Client(name=f"s{n}") for n in range(4)]
    engine = asyncio.run(run())

    assert engine.counters.pushes == 3
    assert [client.answers for client in clients] == [alone(signal(9))] * 4


def test_with_many_streams_a_push_waits_for_company_and_with_few_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPANY", 2)
    monkeypatch.setattr(module, "PAUSE", 3600.0)

    async def run() -> None:
        ticker = Ticker(Engine(small_model(), Limits(streams=4)))
        first, second = Client(name="s0"), Client(name="s1")
        for frame in range(2):
            ticker.submit(first.request(signal(9)[frame : frame + 1], frame=frame, start=frame == 0))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not ticker.engine.waits
        ticker.submit(second.request(signal(9)[:1], frame=0, start=True))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert ticker.engine.waits
        ticker._loop.call_soon(ticker._tick)
        await asyncio.sleep(0)
        assert second.answers == alone(signal(9)[:1])

    asyncio.run(run())
