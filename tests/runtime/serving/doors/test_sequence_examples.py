"""The sequence examples of NVIDIA's client (simple_*_sequence_*), written anew for our models: both doors, six ways.

As there, three sequences, two of them numbers and one a text, of eight calls each: the first starts, the last ends.
"""

import asyncio
import queue
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from tidegate.runtime.serving.server import Server
from tools.serving import alone, signal, small_model, visit

http = pytest.importorskip("tritonclient.http")
grpc = pytest.importorskip("tritonclient.grpc")
pytest.importorskip("aiohttp")
http_aio = pytest.importorskip("tritonclient.http.aio")
grpc_aio = pytest.importorskip("tritonclient.grpc.aio")
CALLS = 8
Found = dict[str, bytes]


def calls(kind: Any, sequence: int | str, seed: int) -> Iterator[dict[str, Any]]:  # noqa: ANN401  no types
    """Yield the arguments of a sequence's calls."""
    for count, frame in enumerate(signal(CALLS, seed), 1):
        given = kind.InferInput("x", [1, 6], "FP32")
        given.set_data_from_numpy(frame[None])
        yield {
            "model_name": "small",
            "inputs": [given],
            "outputs": [kind.InferRequestedOutput("y")],
            "request_id": f"{sequence}_{count}",
            "sequence_id": sequence,
            "sequence_start": count == 1,
            "sequence_end": count == CALLS,
        }


def sequences() -> dict[int | str, int]:
    """Return the names of the sequences, and the seed of the signal of each."""
    return {1000: 1, 1001: 2, str(uuid.uuid4()): 3}


def sync(kind: Any, port: int, found: Found) -> None:  # noqa: ANN401
    with kind.InferenceServerClient(f"127.0.0.1:{port}") as client:
        for sequence, seed in sequences().items():
            for call in calls(kind, sequence, seed):
                found[f"{seed}"] = found.get(f"{seed}", b"") + client.infer(**call).as_numpy("y").tobytes()


async def aio_sync(kind: Any, port: int, found: Found) -> None:  # noqa: ANN401
    async with kind.InferenceServerClient(f"127.0.0.1:{port}") as client:
        for sequence, seed in sequences().items():
            for call in calls(kind, sequence, seed):
                result = await client.infer(**call)
                found[f"{seed}"] = found.get(f"{seed}", b"") + result.as_numpy("y").tobytes()


def stream(port: int, found: Found) -> None:
    replies: queue.Queue[Any] = queue.Queue()
    named = sequences()
    with grpc.InferenceServerClient(f"127.0.0.1:{port}") as client:
        client.start_stream(callback=lambda result, error: replies.put((result, error)))
        for sequence, seed in named.items():
            for call in calls(grpc, sequence, seed):
                client.async_stream_infer(**call)
        client.stop_stream()  # which waits for the answers
    sort(named, [replies.get(timeout=30) for _ in range(len(named) * CALLS)], found)


async def aio_stream(port: int, found: Found) -> None:
    named = sequences()

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for sequence, seed in named.items():
            for call in calls(grpc_aio, sequence, seed):
                yield call

    async with grpc_aio.InferenceServerClient(f"127.0.0.1:{port}") as client:
        sort(named, [reply async for reply in client.stream_infer(inputs_iterator=requests())], found)


def sort(named: dict[int | str, int], replies: list[Any], found: Found) -> None:
    """Put the replies of a stream to their sequences, by the ids of the calls."""
    seeds = {str(sequence): seed for sequence, seed in named.items()}
    for result, error in replies:
        assert error is None
        seed = seeds[result.get_response().id.rpartition("_")[0]]
        found[f"{seed}"] = found.get(f"{seed}", b"") + result.as_numpy("y").tobytes()


def run(example: Callable[[int, Found], Awaitable[None]]) -> Callable[[int, Found], None]:
    return lambda port, found: asyncio.run(example(port, found))  # type: ignore[arg-type]


EXAMPLES: dict[str, tuple[str, Callable[[int, Found], None]]] = {
    "simple_http_sequence_sync": ("http", lambda port, found: sync(http, port, found)),
    "simple_http_aio_sequence_sync": ("http", run(lambda port, found: aio_sync(http_aio, port, found))),
    "simple_grpc_sequence_sync": ("grpc", lambda port, found: sync(grpc, port, found)),
    "simple_grpc_aio_sequence_sync": ("grpc", run(lambda port, found: aio_sync(grpc_aio, port, found))),
    "simple_grpc_sequence_stream": ("grpc", stream),
    "simple_grpc_aio_sequence_stream": ("grpc", run(aio_stream)),
}


@pytest.mark.parametrize(("door", "kind"), [("grpc", grpc), ("http", http)], ids=["grpc", "http"])
def test_row_236_a_call_whose_time_is_over_is_refused_and_the_sequence_goes_on(door: str, kind: Any) -> None:  # noqa: ANN401
    def call(port: int, _server: Server) -> None:
        first, second, *_ = calls(kind, 7, 1)
        with kind.InferenceServerClient(f"127.0.0.1:{port}") as client:
            client.infer(**first)
            with pytest.raises(kind.InferenceServerException, match="the chunk waited for more than 1e-06 seconds"):
                client.infer(**second, timeout=1)
            assert client.infer(**second, timeout=10**8).as_numpy("y").tobytes() == alone(signal(CALLS, 1)[:2])[12:]

    visit(small_model(), door, call)


@pytest.mark.parametrize("name", EXAMPLES)
def test_row_196_each_sequence_example_gives_the_answers_of_streams_alone(name: str) -> None:
    door, example = EXAMPLES[name]

    def call(port: int, server: Server) -> None:
        found: Found = {}
        example(port, found)
        assert found == {f"{seed}": alone(signal(CALLS, seed)) for seed in (1, 2, 3)}
        assert server.tickers["small"].engine.streams == 0

    visit(small_model(), door, call)
