"""The counters as text for Prometheus."""

from dataclasses import fields

from tidegate.runtime.serving.engine import Engine
from tidegate.runtime.serving.metrics import TOTALS, metrics_text
from tidegate.runtime.serving.requests import Counters, Limits
from tools.serving import Client, signal, small_model


def test_counters_of_all_models_are_there_and_no_name_of_a_client() -> None:
    engines = {name: Engine(small_model(name), Limits(streams=2)) for name in ("a", 'b"\n')}
    client = Client("secret-owner", "secret-stream")
    engines["a"].submit(client.request(signal(4), frame=0, start=True))
    engines["a"].tick()
    engines["a"].submit(client.request(signal(4), frame=9))
    text = metrics_text(engines).decode()

    assert 'tidegate_streams{model="a"} 1\n' in text
    assert 'tidegate_frames_total{model="a"} 4\n' in text
    assert 'tidegate_refused_total{model="a",why="gap"} 1\n' in text
    assert 'tidegate_streams{model="b\\"\\n"} 0\n' in text
    assert "secret" not in text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(line.startswith("tidegate_") and line.count(" ") == 1 for line in lines)


def test_every_counter_is_told() -> None:
    assert {*TOTALS, "refused"} == {field.name for field in fields(Counters)}
