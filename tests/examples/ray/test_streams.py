"""Streams on Ray Serve: a replica is killed, and a stream is placed wrongly again and again; no bit changes.

Ray is asked for by the example alone (examples/ray/requirements.txt), not by tidegate's own tests, so this is skipped
where it is not installed, also with CI=true. The door that the example opens is tested without Ray
(tests/runtime/serving/doors/test_asgi.py).
"""

import asyncio
import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from kernels.building import ROOT
from tools.serving import alone, small_plan
from tools.serving import signal as frames_of

pytest.importorskip("ray", reason="ray is not installed; it is a requirement of examples/ray alone")
pytest.importorskip("websockets")
import ray
from tidegate.client import AsyncStream
from tidegate.runtime.serving.client.session import PLACE

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own

STREAMS, CHUNKS, FRAMES = 16, 40, 5
PATIENCE = 60.0


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Two replicas, which take little of this machine, behind Ray's proxy at a port."""
    folder = tmp_path_factory.mktemp("ray")
    (folder / "m.tide").write_bytes(small_plan())
    arguments = {"model": str(folder / "m.tide"), "store": str(folder / "store"), "cpus": "0.1", "every": "20"}
    places = os.pathsep.join((str(ROOT / "examples/ray"), os.environ.get("PYTHONPATH", "")))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_AUTH_MODE", "disabled")
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.syspath_prepend(str(ROOT / "examples/ray"))
        streams, serve = import_module("streams"), import_module("ray.serve")
        environment = {"env_vars": {"PYTHONPATH": places}}
        ray.init(num_cpus=1, include_dashboard=False, object_store_memory=2**27, runtime_env=environment)
        try:
            serve.start(http_options={"host": "127.0.0.1", "port": 8765})
            serve.run(streams.app(arguments))
            yield 8765
        finally:
            serve.shutdown()
            ray.shutdown()


def replicas() -> list[int]:
    """Return the processes of the replicas, which are grandchildren of this one."""
    parents, found = {}, []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if (process / "cmdline").read_bytes().startswith(b"ray::ServeReplica"):
                found.append(int(process.name))
        except OSError:
            continue
    return sorted(one for one in found if parents.get(parents[one]) == os.getpid())


def health(port: int, place: str) -> dict[str, int]:
    """Return the counters of the replica where a stream is placed."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/health", headers={PLACE: place})
    with urllib.request.urlopen(request, timeout=PATIENCE) as page:  # noqa: S310  this machine's
        counters: dict[str, int] = json.load(page)["models"]["m"]
    return counters


def test_row_238_a_stream_that_is_placed_wrongly_is_fetched_and_has_its_bits(port: int) -> None:
    """Each connection says another place, so that the stream wanders between both replicas."""

    async def run() -> bytes:
        frames, found = frames_of(CHUNKS * FRAMES), b""
        stream = AsyncStream(f"ws://127.0.0.1:{port}/m", patience=PATIENCE)
        for chunk in range(CHUNKS):
            stream._headers[PLACE] = str(chunk)
            found += (await stream.push(frames[chunk * FRAMES : (chunk + 1) * FRAMES])).tobytes()
            await stream.close()
        await stream.finish()
        return found

    assert len(replicas()) == 2
    began = time.monotonic()
    assert asyncio.run(run()) == alone(frames_of(CHUNKS * FRAMES))
    seconds = time.monotonic() - began
    moves = sum({health(port, str(place))["restored"] for place in range(8)})
    print(f"the stream moved {moves} times in {seconds:.1f} s")
    assert moves > CHUNKS // 8


def test_row_237_a_replica_that_is_killed_loses_no_stream_and_no_bit(port: int) -> None:
    waits: list[float] = []
    moved: list[int] = []

    async def stream(number: int, ready: list[int], killed: asyncio.Event) -> bytes:
        frames, found = frames_of(CHUNKS * FRAMES, number), b""
        async with AsyncStream(f"ws://127.0.0.1:{port}/m", patience=PATIENCE) as opened:
            for chunk in range(CHUNKS):
                if chunk == CHUNKS // 2:
                    first = opened._connection
                    ready.append(number)
                    await killed.wait()
                began = time.monotonic()
                found += (await opened.push(frames[chunk * FRAMES : (chunk + 1) * FRAMES])).tobytes()
                waits.append(time.monotonic() - began)
            moved.append(opened._connection is not first)
            await opened.finish()
        return found

    async def run() -> list[bytes]:
        ready: list[int] = []
        killed = asyncio.Event()
        tasks = [asyncio.create_task(stream(n, ready, killed)) for n in range(STREAMS)]
        while len(ready) < STREAMS:
            await asyncio.sleep(0.01)
        os.kill(replicas()[0], signal.SIGKILL)
        killed.set()
        return await asyncio.gather(*tasks)

    answers = asyncio.run(run())
    print(f"{sum(moved)} of {STREAMS} streams moved; the longest push took {max(waits):.2f} s")
    assert answers == [alone(frames_of(CHUNKS * FRAMES, n)) for n in range(STREAMS)]
    assert 0 < sum(moved) < STREAMS  # the others were at the replica that lived
