"""`tidegate serve`: from the command line to a client, and how it refuses options."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tidegate
from tidegate.runtime.serving import wire
from tidegate.runtime.serving.requests import Request
from tools.commands import SIGNAL, Command, assert_refused, assert_wrong_usage
from tools.serving import opened_door

websockets = pytest.importorskip("websockets.sync.client")
pytest.importorskip("picows")


@pytest.mark.usefixtures("folder")
def test_streams_of_two_models_are_served_until_sigterm() -> None:
    Path("m.onnx").rename("float.onnx")
    command = [sys.executable, "-m", "tidegate", "serve", "m.tide", "float.onnx", "--ws", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        door, port = opened_door(process)
        assert door == "ws"
        for name, file in (("m", "m.tide"), ("float", "float.onnx")):
            with websockets.connect(f"ws://127.0.0.1:{port}/{name}") as connection:
                connection.recv()
                frames = SIGNAL.tobytes()
                connection.send(
                    wire.write_request(Request("", "s", lambda *_: None, 0, len(SIGNAL), frames, start=True))
                )
                reply = wire.read_reply(connection.recv())[1]
            np.testing.assert_array_equal(
                np.frombuffer(reply.payload, np.float32), tidegate.load(file).stream().push(SIGNAL).ravel()
            )
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m.tide"], "no door is open; wanted one or more of --ws, --grpc, --http HOST:PORT"),
        (["m.tide", "--ws", "8002"], "--ws is '8002', wanted HOST:PORT, e.g. 127.0.0.1:8002"),
        (["m.tide", "--ws", "127.0.0.1:70000"], "wanted HOST:PORT"),
        (["m.tide", "--ws", "127.0.0.1:0", "--streams", "0"], "--streams"),
    ],
)
def test_wrong_usage_has_status_2(arguments: list[str], message: str, tide: Command) -> None:
    assert_wrong_usage(tide("serve", *arguments), message)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.tide"], "none.tide: no such file"),
        (["x.npy"], "x.npy: not an ONNX file"),
        (["m.tide", "m.int8.onnx"], "two models are called 'm'; rename one file"),
        (
            ["m.tide", "--http", "0.0.0.0:0"],
            "0.0.0.0 is reached from other machines",
        ),
        (["m.tide", "--tokens", "none.txt"], "none.txt: No such file"),
        (["m.tide", "--tls-cert", "m.tide"], "TLS needs a certificate and its key, and one of them is missing"),
    ],
)
def test_bad_models_are_one_line(arguments: list[str], message: str, tide: Command) -> None:
    assert_refused(tide("serve", *arguments, "--ws", "127.0.0.1:0"), message)


@pytest.mark.usefixtures("folder")
def test_a_package_that_is_missing_is_named_with_the_way_out(tide: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    outcome = tide("serve", "m.tide", "--ws", "127.0.0.1:0")

    assert_refused(outcome, r"picows is not installed; run: pip install 'tidegate\[serve\]'")
