"""Models by name: loaded, tried, swapped and unloaded, by NVIDIA's unchanged client too; and rolling upgrades."""

import asyncio
import signal as signals
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tidegate.runtime.load import load, sign
from tidegate.runtime.serving.access import Access
from tidegate.runtime.serving.engine import Engine
from tidegate.runtime.serving.repository import wants_adoption
from tidegate.runtime.serving.requests import Limits, Refused, Reply, Request
from tidegate.runtime.serving.served_model import ServedModel
from tools.keys import write_keys
from tools.serving import Client, MemoryStore, alone, ids_plan, served, signal, small_model, small_plan

pytest.importorskip("picows")
from tidegate.runtime.serving.server import Server


def model(folder: Path, seed: int = 0) -> Path:
    (folder / "small.tide").write_bytes(small_plan(seed))
    return folder / "small.tide"


def run(path: Path, call: Callable[[Server], Any], **more: Any) -> None:  # noqa: ANN401
    async def inside() -> None:
        server = Server([ServedModel.of(path)], Limits(streams=16), **more)
        await call(server)
        await server.drain()

    asyncio.run(inside())


def test_row_242_a_file_that_is_loaded_again_must_be_signed_as_the_first(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="signatures need cryptography: pip install 'tidegate[sign]'")
    path, (private, public) = model(tmp_path), write_keys(tmp_path, "maker")
    sign(path, private, 3)

    async def inside() -> None:
        server = Server([ServedModel.of(path, require=public, release=3)], Limits(streams=16))
        path.write_bytes(small_plan(1))
        with pytest.raises(Refused, match=r"small\.tide.*; the plan that was served is unchanged") as refused:
            await server.repository.load("small")
        sign(path, private, 2)
        with pytest.raises(Refused, match="release 2"):
            await server.repository.load("small")
        assert str(tmp_path) not in str(refused.value)
        assert server.engines["small"].served.model.hash == load(small_plan()).hash
        sign(path, private, 4)
        await server.repository.load("small")
        assert server.engines["small"].served.model.hash == load(small_plan(1)).hash
        await server.drain()

    asyncio.run(inside())


def test_row_37_a_bad_file_is_refused_and_the_old_plan_still_serves(tmp_path: Path) -> None:
    path, client = model(tmp_path), Client()

    async def call(server: Server) -> None:
        engine = server.tickers["small"].engine
        engine.submit(client.request(signal(9)[:4], frame=0, start=True))
        engine.tick()
        for data, why in ((small_plan()[:-7], "plan"), (b"", "small.tide"), (ids_plan(), "wanted float32")):
            path.write_bytes(data)
            with pytest.raises(Refused, match=rf"{why}.*; the plan that was served is unchanged"):
                await server.repository.load("small")
            assert why in server.repository.index()[0].reason
        path.unlink()
        await server.repository.load_all()
        assert server.repository.index()[0].reason == "small.tide: no such file"
        engine.submit(client.request(signal(9)[4:], frame=4))
        engine.tick()
        assert client.answers == alone(signal(9))
        model(tmp_path, 1)
        await server.repository.load_all()
        assert server.repository.index() == [("small", "READY", "")]
        assert engine.served.model.hash == load(small_plan(1)).hash

    run(path, call)


def test_streams_of_an_unloaded_model_go_on_when_it_is_loaded_again(tmp_path: Path) -> None:
    client, frames = Client(), signal(9)

    async def call(server: Server) -> None:
        engine = server.tickers["small"].engine
        await feed(engine, client.request(frames[:4], frame=0, start=True))
        await server.repository.unload("small")
        await server.repository.unload("small")
        assert server.repository.index() == [("small", "UNAVAILABLE", "unloaded")]
        engine.submit(client.request(frames[4:], frame=4))
        assert str(client.replies.pop().refused) == "small is served here no longer; go on at another server"
        await server.repository.load("small")
        await feed(server.tickers["small"].engine, client.request(frames[4:], frame=4))
        assert client.answers == alone(frames)
        for change in (server.repository.load, server.repository.unload):
            with pytest.raises(Refused, match="there is no model 'other'; there are small"):
                await change("other")

    run(model(tmp_path), call, store=MemoryStore())


async def feed(engine: Engine, request: Request) -> None:
    """Give a request to an engine whose store answers in a thread, and wait for the reply."""
    done, take = asyncio.Event(), request.reply

    def answered(request: Request, reply: Reply) -> None:
        take(request, reply)
        done.set()

    request.reply = answered
    engine.submit(request)
    while not done.is_set():
        await asyncio.sleep(0)
        engine.tick()


def test_a_model_from_memory_cannot_be_read_again_and_a_server_that_stops_loads_nothing() -> None:
    async def call() -> None:
        server = Server([small_model()])
        with pytest.raises(Refused, match="small came from memory, not from a file that can be read again"):
            await server.repository.load("small")
        await server.drain()
        with pytest.raises(Refused, match="this server stops; go on at another one"):
            await server.repository.load("small")

    asyncio.run(call())


@pytest.mark.parametrize(
    ("given", "wanted"), [({}, None), ({"config": "{}"}, None), ({"config": '{"adopt": true}'}, True)]
)
def test_the_configuration_of_a_load_call(given: dict[str, object], wanted: object) -> None:
    assert wants_adoption(given) is wanted


@pytest.mark.parametrize(
    "given",
    [
        {"config": 4},
        {"config": "["},
        {"config": "[]"},
        {"config": '{"adopt": 1}'},
        {"config": '{"other": true}'},
        {"config": " " * 5000},
        {"config": "[" * 4000},
    ],
)
def test_any_other_configuration_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(Refused, match=r'wanted {} or {"adopt": true or false}'):
        wants_adoption(given)


def test_files_are_not_taken_over_the_network() -> None:
    with pytest.raises(Refused, match=r"parameter 'file:1/model.onnx' is not taken: put the file in place of the old"):
        wants_adoption({"config": "{}", "file:1/model.onnx": b"x"})


@pytest.mark.parametrize("door", ["grpc", "http"])
def test_row_231_the_unchanged_client_loads_and_unloads(tmp_path: Path, door: str) -> None:
    module = pytest.importorskip(f"tritonclient.{door}")
    path, frames = model(tmp_path), signal(20)

    def call(port: int) -> None:
        with module.InferenceServerClient(f"127.0.0.1:{port}") as client:

            def infer(name: int, at: int, end: int) -> bytes:
                given = module.InferInput("x", [end - at, 6], "FP32")
                given.set_data_from_numpy(frames[at:end])
                flags = {"sequence_id": name, "sequence_start": at == 0, "sequence_end": end == 20}
                return bytes(client.infer("small", [given], **flags).as_numpy("y").tobytes())

            before = [infer(name, 0, 7) for name in (1, 2)]
            model(tmp_path, 1)
            client.load_model("small")
            assert before[0] + infer(1, 7, 20) == alone(frames)
            client.load_model("small", config='{"adopt": true}')
            stream = load(small_plan(1)).stream()
            old = load(small_plan()).stream()
            old.push(frames[:7])
            stream.set_state(old.state())
            assert infer(2, 7, 20) == stream.push(frames[7:]).tobytes()
            assert infer(3, 0, 20) == alone(frames, small_plan(1))
            path.write_bytes(b"junk")
            with pytest.raises(module.InferenceServerException, match="the plan that was served is unchanged"):
                client.load_model("small")
            assert client.is_model_ready("small")
            assert infer(3, 0, 20) == alone(frames, small_plan(1))
            client.unload_model("small")
            assert not client.is_model_ready("small")
            assert "UNAVAILABLE" in str(client.get_model_repository_index())
            with pytest.raises(module.InferenceServerException, match="there is no model 'small'"):
                infer(4, 0, 1)
            model(tmp_path)
            client.load_model("small")
            assert infer(4, 0, 20) == alone(frames)

    async def inside(server: Server) -> None:
        port = await getattr(server, f"open_{door}")(("127.0.0.1", 0))
        await asyncio.wait_for(asyncio.to_thread(call, port), 60)

    run(path, inside)


@pytest.mark.parametrize("door", ["grpc", "http"])
def test_row_232_with_tokens_only_the_operator_loads_and_unloads(tmp_path: Path, door: str) -> None:
    module = pytest.importorskip(f"tritonclient.{door}")
    (tmp_path / "tokens").write_text("operator 0123456789abcdef\nuser abcdef0123456789\n")

    def call(port: int) -> None:
        with module.InferenceServerClient(f"127.0.0.1:{port}") as client:
            user, operator = (
                {"authorization": f"Bearer {token}"} for token in ("abcdef0123456789", "0123456789abcdef")
            )
            for change in (client.load_model, client.unload_model):
                with pytest.raises(
                    module.InferenceServerException, match="'operator' loads and unloads models; use its token"
                ):
                    change("small", headers=user)
                with pytest.raises(module.InferenceServerException, match="wanted an authorization of the form"):
                    change("small")
            client.load_model("small", headers=operator)
            client.unload_model("small", headers=operator)

    async def inside(server: Server) -> None:
        port = await getattr(server, f"open_{door}")(("127.0.0.1", 0))
        await asyncio.wait_for(asyncio.to_thread(call, port), 60)

    run(model(tmp_path), inside, access=Access.of(tmp_path / "tokens"))


def test_row_233_a_rolling_upgrade_to_a_retrained_plan_loses_nothing(tmp_path: Path) -> None:
    """Two processes: the old one stops by SIGTERM, the new one adopts its streams from the frame where they are."""
    pytest.importorskip("websockets")
    from tidegate.runtime.serving.client.blocking import Stream

    (tmp_path / "new").mkdir()
    old, new, frames = model(tmp_path), model(tmp_path / "new", 1), signal(20)
    common = ("--store", tmp_path / "store", "--every", 4)
    with served(old, *common) as (first, port), served(new, *common, "--adopt") as (_, other):
        doors = [f"ws://127.0.0.1:{number}/small" for number in (port, other)]
        streams = [Stream(doors) for _ in range(4)]
        found = [bytes(np.asarray(stream.push(frames[:7])).tobytes()) for stream in streams]
        first.send_signal(signals.SIGTERM)
        assert first.wait(60) == 0
        for n, stream in enumerate(streams):
            found[n] += np.asarray(stream.push(frames[7:])).tobytes()
            stream.finish()
            stream.close()
    one, two = load(small_plan()), load(small_plan(1))
    before, after = one.stream(), two.stream()
    wanted = np.asarray(before.push(frames[:7])).tobytes()
    after.restore(two.adopt(before.snapshot(), one.layout))
    wanted += np.asarray(after.push(frames[7:])).tobytes()
    assert found == [wanted] * 4


def test_sighup_reads_the_files_again(tmp_path: Path) -> None:
    pytest.importorskip("websockets")
    from tidegate.runtime.serving.client.blocking import Stream

    path, frames = model(tmp_path), signal(5)
    with served(path) as (process, port):
        model(tmp_path, 1)
        process.send_signal(signals.SIGHUP)
        for _ in range(1000):  # until the new plan is there
            with Stream([f"ws://127.0.0.1:{port}/small"]) as stream:
                answers = np.asarray(stream.push(frames)).tobytes()
                stream.finish()
            if answers != alone(frames):
                break
        assert answers == alone(frames, small_plan(1))
