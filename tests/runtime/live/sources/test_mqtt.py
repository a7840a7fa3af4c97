"""Topics of a real MQTT broker, mosquitto, on this machine."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tidegate
from tidegate.runtime.arrays import Floats
from tidegate.runtime.errors import BackendError, ChunkError
from tidegate.runtime.live.sources.mqtt import Mqtt
from tidegate.runtime.live.sources.opening import open_source
from tidegate.runtime.live.sources.pcm import Form
from tools.live import frames, small_model

MODEL = small_model()
X = frames(50)
Broker = Callable[..., tuple[int, "subprocess.Popen[bytes]"]]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Return a function that starts a broker, with or without anonymous clients, and returns its port and process."""
    program = shutil.which("mosquitto", path=os.pathsep.join((os.environ["PATH"], "/usr/sbin")))
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("mosquitto is not installed")
    started: list[subprocess.Popen[bytes]] = []

    def start(anonymous: bool, port: int = 0) -> tuple[int, "subprocess.Popen[bytes]"]:
        if not port:
            with socket.create_server(("127.0.0.1", 0)) as server:
                port = server.getsockname()[1]
        config = tmp_path / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous {str(anonymous).lower()}\n")
        process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.PIPE)
        started.append(process)
        assert process.stderr is not None
        assert any(b"running" in line for line in process.stderr)
        return port, process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=30)


def publish(port: int, topic: str, payload: bytes, *, retain: bool = False) -> None:
    """Publish a message; the broker gives a retained one to whoever subscribes later."""
    single = pytest.importorskip("paho.mqtt.publish").single
    single(topic, payload, qos=1, retain=retain, hostname="127.0.0.1", port=port)


def as_text(rows: Floats) -> bytes:
    return "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist()).encode()


def test_row_224_messages_of_a_topic_are_answered_until_the_broker_is_gone(broker: Broker) -> None:
    port, process = broker(True)
    publish(port, "sensors/1/rows", as_text(X[:10]), retain=True)
    with tidegate.live(MODEL, f"mqtt://127.0.0.1:{port}/sensors/+/rows", gap="hold") as running:
        found = [next(running) for _ in range(10)]
        publish(port, "sensors/2/rows", as_text(X[10:12]))
        publish(port, "others", as_text(X))
        publish(port, "sensors/1/rows", as_text(X[12:]))
        found += [next(running) for _ in X[10:]]
        process.terminate()
        with pytest.raises(OSError, match=rf"mqtt://127.0.0.1:{port}/sensors/\+/rows: .*connection"):
            next(running)

    assert np.array_equal(np.concatenate([answer.values for answer in found]), MODEL.stream().push(X))
    assert running.counters.lost == running.counters.dropped == 0


def test_a_broker_that_comes_back_is_a_gap_and_nothing_else_is_lost(broker: Broker) -> None:
    port, process = broker(True)
    publish(port, "rows", as_text(X[:10]), retain=True)
    notes: list[str] = []
    source = f"mqtt://127.0.0.1:{port}/rows"
    with tidegate.live(
        MODEL, source, chunk=10, gap="hold", reopen=60, note=lambda kind, _: notes.append(kind)
    ) as running:
        before = next(running)
        process.terminate()
        process.wait()
        broker(True, port)
        publish(port, "rows", as_text(X[10:20]), retain=True)  # whether the subscription is there yet or not
        after = next(running)

    assert notes[0] == "gone"
    assert notes[-1] == "back"
    assert (after.frames, after.policy) == (10, "hold")
    assert after.lost == after.first - 10 > 0
    stream = MODEL.stream()
    assert np.array_equal(before.values, stream.push(X[:10]))
    assert np.array_equal(after.values, stream.push(X[10:20]))


def test_raw_messages_are_whole_rows(broker: Broker) -> None:
    port, _ = broker(True)
    publish(port, "raw", np.arange(7, dtype="<i2").tobytes(), retain=True)
    notes: list[str] = []
    source = Mqtt("127.0.0.1", port, "raw", Form("s16le", 3, 1), note=lambda _, text: notes.append(text))
    assert next(source.blocks(1)).rows.tolist() == [[0, 1, 2], [3, 4, 5]]
    source.close()
    assert list(source.blocks(1)) == []


def test_a_broker_that_refuses_is_one_clear_line(broker: Broker) -> None:
    port, _ = broker(False)
    with pytest.raises(OSError, match=rf"mqtt://127.0.0.1:{port}/a: the broker refuses: Not authorized"):
        list(open_source(f"mqtt://me:wrong@127.0.0.1:{port}/a", Form()).blocks(1))


def test_a_broker_that_is_not_there_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(OSError, match=rf"mqtt://127.0.0.1:{port}/a: no broker answers there \(.*refused"):
        list(open_source(f"mqtt://127.0.0.1:{port}/a", Form()).blocks(1))


@pytest.mark.parametrize("name", ["mqtt://127.0.0.1:1883", "mqtt:///topic", "mqtt://127.0.0.1/"])
def test_a_name_has_a_broker_and_a_topic(name: str) -> None:
    with pytest.raises(ChunkError, match=r"wanted a broker and a topic, e.g. mqtt://127.0.0.1:1883/sensors/1"):
        open_source(name, Form())


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(BackendError, match=r"MQTT needs paho-mqtt; pip install 'tidegate\[live\]'"):
        open_source("mqtt://127.0.0.1/a", Form())
