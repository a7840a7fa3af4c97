"""Streams on servers, with an event loop: many at once, over a server that is killed."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.load import load
from tools.serving import alone, served, signal, small_plan

pytest.importorskip("picows")
pytest.importorskip("websockets")
from tidegate.client import AsyncStream

STREAMS, CHUNKS, FRAMES = 60, 12, 5


def test_pushes_at_the_same_time_follow_each_other(tmp_path: Path) -> None:
    async def run(port: int) -> bytes:
        async with AsyncStream(f"ws://127.0.0.1:{port}/m") as stream:
            parts = await asyncio.gather(*(stream.push(frames[at : at + 4]) for at in range(0, 40, 4)))
            await stream.finish()
        return b"".join(part.tobytes() for part in parts)

    (tmp_path / "m.tide").write_bytes(small_plan())
    frames = signal(40)
    with served(tmp_path / "m.tide") as (_, port):
        assert asyncio.run(run(port)) == alone(frames)


def test_row_194_a_server_that_is_killed_with_many_streams_loses_none_and_changes_no_bit(tmp_path: Path) -> None:
    """Both servers are up; the first is killed without warning in the middle, and its clients go on at the second."""
    (tmp_path / "m.tide").write_bytes(small_plan())
    arguments = (tmp_path / "m.tide", "--store", tmp_path / "store", "--every", 12)

    async def stream(number: int, addresses: list[str], reached: list[int]) -> bytes:
        frames = signal(CHUNKS * FRAMES, number)
        async with AsyncStream(addresses) as opened:
            parts = []
            for at in range(0, len(frames), FRAMES):
                parts.append(await opened.push(frames[at : at + FRAMES]))
                reached[number] += 1
            await opened.finish()
        return np.concatenate(parts).tobytes()

    async def run(addresses: list[str], kill: object) -> list[bytes]:
        reached = [0] * STREAMS
        tasks = [asyncio.create_task(stream(number, addresses, reached)) for number in range(STREAMS)]
        while sum(reached) < STREAMS * CHUNKS // 2:
            await asyncio.sleep(0)
        kill()  # type: ignore[operator]
        assert min(reached) < CHUNKS
        return await asyncio.gather(*tasks)

    with served(*arguments) as (first, port), served(*arguments) as (_, other):
        addresses = [f"ws://127.0.0.1:{port}/m", f"ws://127.0.0.1:{other}/m"]
        found = asyncio.run(asyncio.wait_for(run(addresses, first.kill), 120))

    model = load(small_plan())
    for number, answers in enumerate(found):
        assert answers == model.stream().push(signal(CHUNKS * FRAMES, number)).tobytes()
