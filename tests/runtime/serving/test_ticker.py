"""An engine in an event loop: what came in one round is pushed together."""

import asyncio

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
