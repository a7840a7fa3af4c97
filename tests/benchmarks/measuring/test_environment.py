"""The environment of a run: what it names, and when its figures are doubtful."""

import dataclasses
import json
import platform

import pytest
from tidegate.benchmarks.measuring.environment import observe, observe_engine
from tidegate.runtime import _kernels


def test_it_names_processor_versions_variant_and_core() -> None:
    found = observe(("avx2",), 1)

    assert found.processor
    assert found.versions["python"] == platform.python_version()
    assert {"tidegate", "numpy"} <= found.versions.keys()
    assert "pinned to core 1" in found.summary()
    assert "engine avx2" in found.summary()


def test_an_unknown_governor_or_core_is_named() -> None:
    unknown = dataclasses.replace(observe((), None), governor=None)

    assert "not pinned" in unknown.summary()
    assert "governor unknown" in unknown.summary()


def test_a_busy_machine_has_a_warning() -> None:
    machine = dataclasses.replace(observe((), None), cores=2)

    assert dataclasses.replace(machine, load=0.9).warnings() == []
    assert dataclasses.replace(machine, load=None).warnings() == []
    assert "load was 1.1 on 2 cores" in dataclasses.replace(machine, load=1.1).warnings()[0]


def test_two_machines_are_named_and_one_is_not() -> None:
    machine = dataclasses.replace(observe(("avx2",), 1), processor="P", system="S")
    later = dataclasses.replace(machine, core=0, load=9.0, date="later")
    assert machine.unlike(later) == []
    assert machine.unlike(dataclasses.replace(later, processor="Q")) == [
        "Measured first on P with avx2 (S), then on Q with avx2 (S)."
    ]
    assert "P with sse41" in machine.unlike(dataclasses.replace(later, isa=("sse41",)))[0]


def test_it_becomes_json() -> None:
    assert json.loads(json.dumps(observe(("scalar",), 0).to_dict()))["isa"] == ["scalar"]


def test_an_engine_runs_on_the_variant_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_ISA", "scalar")
    assert observe_engine(None).isa == ("scalar",)
    monkeypatch.delenv("TIDEGATE_ISA")
    assert observe_engine(None).isa == (_kernels.variants()[0],)
