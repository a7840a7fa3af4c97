"""The gRPC door, called by NVIDIA's unchanged client: unary, streaming and asyncio; and by calls that are wrong."""

import asyncio
import hashlib
import queue
import socket
import threading
from typing import Any

import numpy as np
import pytest
from tidegate.runtime.arrays import Floats
from tidegate.runtime.serving.access import Access
from tidegate.runtime.serving.server import Server
from tools.http2 import CANCEL, PING, RESET, START, call, frame
from tools.serving import alone, signal, small_model, visit

grpc = pytest.importorskip("grpc")
client_of = pytest.importorskip("tritonclient.grpc")
aio = pytest.importorskip("tritonclient.grpc.aio")
from tidegate.runtime.serving.doors import inference_grpc  # noqa: E402
from tidegate.runtime.serving.doors.oip_messages import SERVICE, message  # noqa: E402


def inputs(frames: Floats) -> list[Any]:
    made = client_of.InferInput("x", list(frames.shape), "FP32")
    made.set_data_from_numpy(frames)
    return [made]


def test_row_196_sequences_by_the_unchanged_client_answer_as_streams_alone() -> None:
    """As in tritonclient's simple_grpc_sequence_sync_infer_client.py: interleaved sequences, start and end flags."""

    def call(port: int, server: Server) -> None:
        with client_of.InferenceServerClient(f"127.0.0.1:{port}") as client:
            found = dict.fromkeys((1000, "named"), b"")
            for at in range(0, 20, 5):
                for seed, name in enumerate(found):
                    frames = signal(20, seed)[at : at + 5]
                    flags = {"sequence_id": name, "sequence_start": at == 0, "sequence_end": at == 15}
                    result = client.infer("small", inputs(frames), **flags)
                    found[name] += result.as_numpy("y").tobytes()
            assert list(found.values()) == [alone(signal(20, seed)) for seed in range(2)]
            assert server.tickers["small"].engine.streams == 0

    visit(small_model(), "grpc", call)


def test_sequences_over_one_stream_answer_as_streams_alone() -> None:
    """As in tritonclient's simple_grpc_sequence_stream_infer_client.py: many calls are sent before any is answered."""

    def call(port: int, _server: Server) -> None:
        replies: queue.Queue[Any] = queue.Queue()
        with client_of.InferenceServerClient(f"127.0.0.1:{port}") as client:
            client.start_stream(lambda result, error: replies.put((result, error)))
            for at in range(0, 60, 2):
                for number in range(1, 5):
                    frames = signal(60, number)[at : at + 2]
                    flags = {"sequence_id": number, "sequence_start": at == 0, "sequence_end": at == 58}
                    client.async_stream_infer("small", inputs(frames), request_id=f"{number}_{at}", **flags)
            found = dict.fromkeys(range(1, 5), b"")
            for _ in range(4 * 30):
                result, error = replies.get(timeout=30)
                assert error is None
                number, at = map(int, result.get_response().id.split("_"))
                assert len(found[number]) == at * 12
                found[number] += result.as_numpy("y").tobytes()
            client.stop_stream()
        assert found == {number: alone(signal(60, number)) for number in range(1, 5)}

    visit(small_model(), "grpc", call)


def test_the_asyncio_client_streams_too_and_a_wrong_call_spoils_no_other() -> None:
    async def converse(port: int) -> list[bytes]:
        async with aio.InferenceServerClient(f"127.0.0.1:{port}") as client:

            async def calls() -> Any:  # noqa: ANN401
                for at in range(0, 20, 5):
                    yield {
                        "model_name": "small",
                        "inputs": inputs(signal(20)[at : at + 5]),
                        "sequence_id": 3,
                        "sequence_start": at == 0,
                        "sequence_end": at == 15,
                    }
                    yield {"model_name": "other", "inputs": inputs(signal(1)), "request_id": "wrong"}

            found, errors = [], []
            async for result, error in client.stream_infer(calls()):
                (errors.append(str(error)) if error else found.append(result.as_numpy("y").tobytes()))
                if len(found) + len(errors) == 8:
                    break
            assert all("there is no model 'other'; there are small" in error for error in errors)
            return found

    visit(
        small_model(),
        "grpc",
        lambda port, _server: np.testing.assert_equal(b"".join(asyncio.run(converse(port))), alone(signal(20))),
    )


def test_a_call_without_a_sequence_is_a_whole_stream() -> None:
    def call(port: int, _server: Server) -> None:
        with client_of.InferenceServerClient(f"127.0.0.1:{port}") as client:
            outputs = [client_of.InferRequestedOutput("y")]
            for _ in range(2):
                result = client.infer("small", inputs(signal(9)), outputs=outputs, request_id="7")
                assert result.as_numpy("y").tobytes() == alone(signal(9))
                assert result.get_response().id == "7"

    visit(small_model(), "grpc", call)


def test_health_metadata_statistics_and_repository() -> None:
    def call(port: int, _server: Server) -> None:
        with client_of.InferenceServerClient(f"127.0.0.1:{port}") as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("small")
            assert client.is_model_ready("small", "1")
            assert not client.is_model_ready("other")
            assert client.get_server_metadata().name == "tidegate"
            metadata = client.get_model_metadata("small", as_json=True)
            assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "6"]}]
            assert metadata["outputs"] == [{"name": "y", "datatype": "FP32", "shape": ["-1", "3"]}]
            assert [model.name for model in client.get_model_repository_index().models] == ["small"]
            client.infer("small", inputs(signal(9)))
            (statistics,) = client.get_inference_statistics("small").model_stats
            assert (statistics.inference_count, statistics.inference_stats.success.count) == (1, 1)
            assert statistics.inference_stats.success.ns > 0
            with pytest.raises(client_of.InferenceServerException, match="there is no model 'other'"):
                client.get_model_metadata("other")

    visit(small_model(), "grpc", call)


@pytest.mark.parametrize(
    ("shape", "flags", "text"),
    [
        ((3, 5), {}, r"\[StatusCode.INVALID_ARGUMENT\] input 'x' has the shape \[3, 5\], wanted \[frames, 6\]"),
        ((3, 6), {"sequence_id": 9}, r"\[StatusCode.NOT_FOUND\] stream '9' is not here: it was never started"),
        ((1025, 6), {}, r"\[StatusCode.INVALID_ARGUMENT\] the chunk has 1025 frames, at most 1024 are allowed"),
    ],
)
def test_what_is_refused_has_its_reason(shape: tuple[int, ...], flags: dict[str, object], text: str) -> None:
    def call(port: int, _server: Server) -> None:
        with (
            client_of.InferenceServerClient(f"127.0.0.1:{port}") as client,
            pytest.raises(client_of.InferenceServerException, match=text),
        ):
            client.infer("small", inputs(np.zeros(shape, np.float32)), **flags)

    visit(small_model(), "grpc", call)


def test_row_197_calls_without_a_token_that_is_known_are_refused() -> None:
    def call(port: int, server: Server) -> None:
        server._grpc_doors[0]._access = Access({hashlib.sha256(b"0123456789abcdef").digest(): "ann"})
        flags = {"sequence_id": 5, "sequence_start": True}
        with client_of.InferenceServerClient(f"127.0.0.1:{port}") as client:
            assert client.is_server_ready()
            with pytest.raises(client_of.InferenceServerException, match="UNAUTHENTICATED"):
                client.infer("small", inputs(signal(4)), **flags)
            known = {"authorization": "Bearer 0123456789abcdef"}
            client.infer("small", inputs(signal(4)), headers=known, **flags)
            replies: queue.Queue[Any] = queue.Queue()
            client.start_stream(lambda **reply: replies.put(reply["error"]), headers={"authorization": "Bearer wrong"})
            assert "UNAUTHENTICATED" in str(replies.get(timeout=30))
        assert list(server.tickers["small"].engine._streams) == [("ann", "5")]

    visit(small_model(), "grpc", call)


def test_numbers_in_place_of_bytes_are_taken_and_hostile_messages_refused() -> None:
    def call(port: int, server: Server) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            infer = channel.unary_unary(f"/{SERVICE}/ModelInfer", None, message("ModelInferResponse").FromString)
            request = message("ModelInferRequest")(model_name="small")
            one = request.inputs.add(name="x", datatype="FP32", shape=[2, 6])
            one.contents.fp32_contents.extend(signal(2).ravel().tolist())
            assert infer(request.SerializeToString()).raw_output_contents[0] == alone(signal(2))
            one.datatype = "BYTES"
            hostile = [request.SerializeToString(), b"\xff" * 50, b"", request.SerializeToString()[:-9], b"x" * 2**18]
            request.raw_input_contents.extend([b"1", b"2"])
            for raw in (*hostile, request.SerializeToString()):
                with pytest.raises(grpc.RpcError):
                    infer(raw)
            with pytest.raises(grpc.RpcError) as unknown:
                channel.unary_unary(f"/{SERVICE}/Other")(b"")
            assert unknown.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert server.tickers["small"].engine.streams == 0

    visit(small_model(), "grpc", call)


def test_a_message_that_cannot_be_read_is_refused_and_the_streaming_call_goes_on() -> None:
    def call(port: int, _server: Server) -> None:
        request = message("ModelInferRequest")(model_name="small", id="good")
        request.inputs.add(name="x", datatype="FP32", shape=[2, 6])
        request.raw_input_contents.append(signal(2).tobytes())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stream = channel.stream_stream(
                f"/{SERVICE}/ModelStreamInfer", None, message("ModelStreamInferResponse").FromString
            )
            wrong, right = stream(iter([b"\xff\xff", request.SerializeToString()]))
        assert wrong.error_message.startswith("the message cannot be read (")
        assert right.infer_response.raw_output_contents[0] == alone(signal(2))

    visit(small_model(), "grpc", call)


def test_row_251_a_wrong_message_of_a_client_that_is_gone_is_no_line_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The client gives its call up while the message is read: the ping that it sends then is answered."""
    read, gone = threading.Event(), threading.Event()

    class Slow:
        SerializeToString = message("ModelInferRequest").SerializeToString

        @staticmethod
        def FromString(raw: bytes) -> Any:  # noqa: ANN401, N802  as protobuf says it
            read.set()
            assert gone.wait(30)
            return message("ModelInferRequest").FromString(raw)

    monkeypatch.setattr(inference_grpc, "message", lambda name: Slow if name == "ModelInferRequest" else message(name))

    def leave(port: int, _server: Server) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection, connection.makefile("rb") as file:
            connection.sendall(START + call(1, f"/{SERVICE}/ModelInfer".encode(), b"\xff\xff"))
            assert read.wait(30)
            connection.sendall(frame(RESET, 0, 1, CANCEL) + frame(PING, 0, 0, b"not-here"))
            while (head := file.read(9)) and (file.read(int.from_bytes(head[:3], "big")), head[3]) != (
                b"not-here",
                PING,
            ):
                pass
            gone.set()
        with client_of.InferenceServerClient(f"127.0.0.1:{port}") as client:
            assert client.is_server_live()

    visit(small_model(), "grpc", leave)
    assert capfd.readouterr().err == ""
    assert caplog.records == []


def test_row_250_a_call_whose_name_is_not_utf_8_closes_no_door_and_ends_no_other_call() -> None:
    def shut(port: int, _server: Server) -> None:
        replies: queue.Queue[Any] = queue.Queue()
        with client_of.InferenceServerClient(f"127.0.0.1:{port}") as client:
            client.start_stream(lambda result, error: replies.put((result, error)))
            found = b""
            for at in range(0, 20, 5):
                flags = {"sequence_id": 1, "sequence_start": at == 0, "sequence_end": at == 15}
                client.async_stream_infer("small", inputs(signal(20)[at : at + 5]), **flags)
                result, error = replies.get(timeout=30)
                assert error is None
                found += result.as_numpy("y").tobytes()
                with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                    connection.sendall(START + call(1, b"/\xff", b""))
                    said = b""
                    while b"shutdown" not in said:  # the door is closed, and says so
                        said += connection.recv(2**16)
                until_open(port)
            client.stop_stream()
        assert found == alone(signal(20))
        with client_of.InferenceServerClient(f"127.0.0.1:{port}") as client:
            assert client.is_server_live()

    visit(small_model(), "grpc", shut)


def until_open(port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
