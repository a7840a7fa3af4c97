"""The HTTP door, called by NVIDIA's unchanged client and by hand; and bodies that are wrong."""

import hashlib
import http.client
import json
import socket
from typing import Any

import numpy as np
import pytest
from tidegate.runtime.arrays import Floats
from tidegate.runtime.serving.access import Access
from tidegate.runtime.serving.served_model import ServedModel
from tidegate.runtime.serving.server import Server
from tools.serving import alone, ids_plan, overflowing_plan, signal, small_model, visit

pytest.importorskip("uvicorn")


def ask(port: int, method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    connection.request(method, path, raw, {name.replace("_", "-"): value for name, value in headers.items()})
    reply = connection.getresponse()
    found = reply.status, reply.read(), dict(reply.getheaders())
    connection.close()
    return found


def infer(port: int, frames: Floats, **parameters: object) -> Any:  # noqa: ANN401
    one = {"name": "x", "datatype": "FP32", "shape": frames.shape, "data": frames.tolist()}
    status, body, _ = ask(port, "POST", "/v2/models/small/infer", {"inputs": [one], "parameters": parameters})
    assert status == 200, body
    return json.loads(body)


def test_row_244_a_request_whose_rest_does_not_come_gives_its_place_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that are silent, stop in the head, in the body, or between two requests; others are answered on."""
    monkeypatch.setattr("tidegate.runtime.serving.doors.inference_http.PATIENCE", 0.5)
    head = b"POST /v2/models/small/infer HTTP/1.1\r\nHost: x\r\n"
    whole = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    sent = (b"", head[:30], head + b"Content-Length: 9\r\n\r\n{", whole + head)

    def call(port: int, _server: Server) -> None:
        silent = [socket.create_connection(("127.0.0.1", port), 30) for _ in sent]
        for connection, data in zip(silent, sent, strict=True):
            connection.sendall(data)
        replies = [connection.makefile("rb").read() for connection in silent]
        assert replies[:2] == [b"", b""]
        assert b" 504 " in replies[2]
        assert b"did not come within 0.5 seconds" in replies[2]
        assert replies[3].count(b"HTTP/1.1 ") == 1
        for connection in silent:
            connection.close()
        assert ask(port, "GET", "/v2/health/ready")[0] == 200

    visit(small_model(), "http", call)


def test_sequences_by_the_unchanged_client_answer_as_streams_alone() -> None:
    client_of = pytest.importorskip("tritonclient.http", exc_type=(ImportError, RuntimeError))  # type: ignore[arg-type]

    def call(port: int, _server: Server) -> None:
        client = client_of.InferenceServerClient(f"127.0.0.1:{port}")
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("small")
        assert client.get_model_metadata("small")["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]
        wanted = {"name": "small", "version": "1", "state": "READY", "reason": ""}
        assert client.get_model_repository_index() == [wanted]
        for binary in (True, False):
            found = b""
            for at in range(0, 20, 5):
                made = client_of.InferInput("x", [5, 6], "FP32")
                made.set_data_from_numpy(signal(20)[at : at + 5], binary_data=binary)
                outputs = [client_of.InferRequestedOutput("y", binary_data=binary)]
                flags = {"sequence_id": 5, "sequence_start": at == 0, "sequence_end": at == 15}
                found += client.infer("small", [made], outputs=outputs, **flags).as_numpy("y").tobytes()
            assert found == alone(signal(20))
        assert client.get_inference_statistics("small")["model_stats"][0]["inference_count"] == 8
        client.close()

    visit(small_model(), "http", call)


def test_numbers_in_json_give_the_bits_of_a_stream() -> None:
    def call(port: int, _server: Server) -> None:
        found = b""
        for at in range(0, 20, 5):
            flags = {"sequence_id": "s", "sequence_start": at == 0, "sequence_end": at == 15}
            (output,) = infer(port, signal(20)[at : at + 5], **flags)["outputs"]
            assert (output["name"], output["datatype"], output["shape"]) == ("y", "FP32", [5, 3])
            found += np.array(output["data"], np.float32).tobytes()
        assert found == alone(signal(20))

    visit(small_model(), "http", call)


def test_two_outputs_may_be_one_as_numbers_and_one_as_bytes() -> None:
    def call(port: int, _server: Server) -> None:
        frames = signal(2)
        one = {"name": "x", "datatype": "FP32", "shape": [2, 6], "parameters": {"binary_data_size": frames.nbytes}}
        outputs = [{"name": "gain", "parameters": {"binary_data": True}}, {"name": "y"}]
        head = json.dumps({"id": "7", "inputs": [one], "outputs": outputs}).encode()
        length = {"Inference_Header_Content_Length": str(len(head))}
        status, body, headers = ask(port, "POST", "/v2/models/two/versions/1/infer", head + frames.tobytes(), **length)
        assert status == 200
        size = int(headers["inference-header-content-length"])
        fields = json.loads(body[:size])
        assert fields["id"] == "7"
        assert body[size:] == (frames * np.float32(1e6)).tobytes()
        assert len(fields["outputs"][0]["data"]) == 10

    visit(ServedModel.of(overflowing_plan(), "two"), "http", call)


def test_ids_are_whole_numbers() -> None:
    def call(port: int, _server: Server) -> None:
        one = {"name": "x", "datatype": "INT64", "shape": [2], "data": [1, 8]}
        assert ask(port, "POST", "/v2/models/ids/infer", {"inputs": [one]})[0] == 200
        for data in ([1, 9], [1, 2**80], ["a", 1]):
            status, body, _ = ask(port, "POST", "/v2/models/ids/infer", {"inputs": [one | {"data": data}]})
            assert status == 400, body

    visit(ServedModel.of(ids_plan(), "ids"), "http", call)


ONE = {"name": "x", "datatype": "FP32", "shape": [1, 6], "data": [0.0] * 6}
INFER = "/v2/models/small/infer"
BYTES = ONE | {"parameters": {"binary_data_size": 9}}
DEEP = b'{"inputs":' + b"[" * 10_000 + b"]" * 10_000 + b"}"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "wanted"),
    [
        ("GET", "/", None, {}, (404, "is not there")),
        ("PUT", INFER, {}, {}, (404, "is not there")),
        ("POST", "/v2/models/other/infer", {}, {}, (404, "there is no model 'other'")),
        ("GET", "/v2/models/small/versions/2", None, {}, (404, "has no version '2'")),
        ("POST", INFER, b"junk", {}, (400, "the body is not JSON")),
        ("POST", INFER, DEEP, {}, (400, "the body is not JSON|JSON list")),
        ("POST", INFER, [], {}, (400, "the body is a JSON list, wanted an object")),
        ("POST", INFER, {"inputs": 1}, {}, (400, "inputs is a JSON int, wanted a list")),
        ("POST", INFER, {"inputs": [1]}, {}, (400, "input is a JSON int, wanted an object")),
        ("POST", INFER, {"inputs": [ONE | {"shape": [1.5, 6]}]}, {}, (400, "wanted one of FP32")),
        ("POST", INFER, {"inputs": [ONE | {"datatype": "BYTES"}]}, {}, (400, "is 'BYTES', wanted one of FP32")),
        ("POST", INFER, {"inputs": [ONE | {"data": [[1], [2, 3]]}]}, {}, (400, "holds what is no FP32")),
        ("POST", INFER, {"inputs": [ONE | {"data": ["x"] * 6}]}, {}, (400, "holds what is no FP32")),
        ("POST", INFER, {"inputs": [ONE | {"data": [1e300] * 6}]}, {}, (400, "chunk holds inf")),
        ("POST", INFER, {"inputs": [BYTES]}, {}, (400, "has 9 bytes, 0 are there")),
        ("POST", INFER, {"inputs": [ONE], "outputs": ["y"]}, {}, (400, "output is a JSON str")),
        ("POST", INFER, b"{}", {"Inference_Header_Content_Length": "9"}, (400, "wanted a number up to the 2 bytes")),
        ("POST", INFER, b"{}", {"Inference_Header_Content_Length": "-1"}, (400, "wanted a number up to the 2 bytes")),
        ("POST", INFER, b"{}", {"Content_Encoding": "gzip"}, (400, "compressed bodies are not read")),
        ("POST", INFER, b" " * 2_000_000, {}, (400, "the body has more than")),
    ],
)
def test_row_42_a_body_that_is_wrong_is_refused_by_name(
    method: str, path: str, body: object, headers: dict[str, str], wanted: tuple[int, str]
) -> None:
    status, text = wanted

    def call(port: int, server: Server) -> None:
        seen, reply, _ = ask(port, method, path, body, **headers)
        assert seen == status, reply
        error = json.loads(reply)["error"]
        with pytest.raises(ValueError, match=text):
            raise ValueError(error)
        assert server.tickers["small"].engine.streams == 0
        assert infer(port, signal(1))["outputs"]

    visit(small_model(), "http", call)


def test_row_197_a_call_without_a_token_that_is_known_is_refused() -> None:
    def call(port: int, server: Server) -> None:
        server._http_doors[0]._access = Access({hashlib.sha256(b"0123456789abcdef").digest(): "ann"})
        body = {"inputs": [ONE], "parameters": {"sequence_id": "s", "sequence_start": True}}
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            assert ask(port, "POST", INFER, body, **headers)[0] == 401
            assert ask(port, "GET", "/metrics", **headers)[0] == 401
            assert ask(port, "GET", "/v2/health/ready", **headers)[0] == 200
            assert json.loads(ask(port, "GET", "/health", **headers)[1]) == {"ready": True}
        known = {"Authorization": "Bearer 0123456789abcdef"}
        assert ask(port, "POST", INFER, body, **known)[0] == 200
        assert b'tidegate_chunks_total{model="small"} 1' in ask(port, "GET", "/metrics", **known)[1]
        assert list(server.tickers["small"].engine._streams) == [("ann", "s")]

    visit(small_model(), "http", call)


def test_row_192_a_page_of_another_machine_cannot_call() -> None:
    def call(port: int, server: Server) -> None:
        assert ask(port, "POST", INFER, {"inputs": [ONE]}, Origin="https://evil.example")[0] == 401
        assert ask(port, "POST", INFER, {"inputs": [ONE]}, Origin="http://localhost:80")[0] == 200
        assert server.tickers["small"].engine.counters.chunks == 1

    visit(small_model(), "http", call)


def test_health_metadata_and_statistics() -> None:
    def call(port: int, server: Server) -> None:
        assert ask(port, "GET", "/v2/health/live")[0] == 200
        assert ask(port, "GET", "/v2/models/small/ready")[0] == 200
        assert json.loads(ask(port, "GET", "/v2")[1])["name"] == "tidegate"
        assert json.loads(ask(port, "GET", "/v2/models/small")[1])["inputs"][0]["shape"] == [-1, 6]
        infer(port, signal(3))
        for path in ("/v2/models/small/stats", "/v2/models/stats"):
            (found,) = json.loads(ask(port, "GET", path)[1])["model_stats"]
            assert found["inference_count"] == 1
        assert json.loads(ask(port, "GET", "/health")[1])["models"]["small"]["frames"] == 3
        server.repository.ready = False
        assert ask(port, "GET", "/v2/health/ready")[0] == 503
        assert ask(port, "GET", "/v2/health/live")[0] == 200

    visit(small_model(), "http", call)
