"""The counters as text for Prometheus."""

import json
from dataclasses import fields

import pytest
from tidegate.runtime.serving.engine import Engine
from tidegate.runtime.serving.metrics import GAUGES, TOTALS, health_text, metrics_text
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


def test_prometheus_reads_every_value_with_its_kind() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    engines = {name: Engine(small_model(name), Limits(streams=2)) for name in ("a", 'b"\n\\')}
    engines["a"].counters.chunks, engines["a"].counters.seconds = 2**53, 1e-7
    families = {family.name: family for family in parser.text_string_to_metric_families(metrics_text(engines).decode())}

    assert {name for name, family in families.items() if family.type == "counter"} == {
        f"tidegate_{name}" for name in (*TOTALS, "refused")
    }
    assert {name for name, family in families.items() if family.type == "gauge"} == {
        f"tidegate_{name}" for name in GAUGES
    }
    assert all(family.documentation for family in families.values())
    assert {s.labels["model"] for family in families.values() for s in family.samples} == set(engines)
    chunks, seconds = (families[f"tidegate_{name}"].samples[0].value for name in ("chunks", "seconds"))
    assert (chunks, seconds) == (2**53, 1e-7)


def test_the_page_of_the_health_has_the_live_counters_of_each_model_for_those_who_may_come_in() -> None:
    engines = {"a": Engine(small_model("a"), Limits(streams=2))}
    client = Client("secret-owner", "secret-stream")
    engines["a"].submit(client.request(signal(4), frame=0, start=True))
    engines["a"].tick()
    text = health_text(engines, ready=True, known=True).decode()
    found = json.loads(text)
    assert found["ready"]
    assert {name: found["models"]["a"][name] for name in ("streams", "frames", "plans")} == {
        "streams": 1,
        "frames": 4,
        "plans": 1,
    }
    assert "secret" not in text
    assert json.loads(health_text(engines, ready=False, known=False)) == {"ready": False}


def test_every_counter_is_told() -> None:
    assert {*TOTALS, "refused"} == {field.name for field in fields(Counters)}
