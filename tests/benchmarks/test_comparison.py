"""One model beside its rivals: who takes part, what is counted, what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tidegate
from tidegate.benchmarks import lstms
from tidegate.benchmarks.comparison import compare
from tidegate.runtime.arrays import Floats
from tidegate.runtime.errors import BackendError, ChunkError

SMALL = lstms.Case("small", 3, 5, 2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 file of 100 frames a second."""
    folder = tmp_path_factory.mktemp("model")
    lstms.save_model(lstms.random_layers(SMALL), folder / "m.onnx", sample_rate=100)
    tidegate.quantize(folder / "m.onnx", folder / "m.int8.onnx")
    return folder / "m.int8.onnx"


def test_the_engine_and_onnxruntime_take_part(model: Path) -> None:
    pytest.importorskip("onnxruntime")

    found = compare(model, calls=30, isa="scalar")

    assert [one.name for one in found.run.latencies] == [
        "tidegate scalar",
        "onnxruntime int8 IOBinding",
        "onnxruntime int8 run",
        "onnxruntime float32 IOBinding",
        "onnxruntime float32 run",
    ]
    assert {one.calls for one in found.run.latencies} == {30}
    assert found.environment.isa == ("scalar",)


def test_the_deadline_is_the_time_between_chunks(model: Path) -> None:
    assert compare(model, against=(), calls=30).run.deadline_us == 10_000
    assert compare(model, against=(), calls=30, frames=4).run.deadline_us == 40_000
    assert compare(model, against=(), calls=30, deadline=1e-9).run.latencies[0].misses == 30


def test_it_works_without_onnxruntime(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    assert len(compare(model, against=(), calls=30).run.latencies) == 1
    with pytest.raises(BackendError, match="onnxruntime is not installed"):
        compare(model, calls=30)


def test_a_plan_is_timed_alone_and_says_why(model: Path, tmp_path: Path) -> None:
    tidegate.compile_model(model, tmp_path / "m.tide")

    found = compare(tmp_path / "m.tide", calls=30)

    assert len(found.run.latencies) == 1
    assert found.remarks == ("onnxruntime: no other runtime runs a compiled plan; give the ONNX file to compare",)


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.zeros((10, 4), np.float32), r"shape \(1, 4\), wanted \(frames, 3\)"),
        (np.zeros((0, 3), np.float32), "at least 1 frames"),
        (np.zeros(3, np.float32), r"wanted \(frames, features\)"),
        (np.full((10, 3), np.nan, np.float32), "nan at frame 0, feature 0"),
    ],
)
def test_a_signal_that_does_not_fit_is_refused(model: Path, signal: Floats, message: str) -> None:
    with pytest.raises(ChunkError, match=message):
        compare(model, against=(), signal=signal, calls=30)


def test_a_rival_that_is_unknown_is_refused(model: Path) -> None:
    with pytest.raises(BackendError, match="rival 'tvm' is unknown; there are onnxruntime"):
        compare(model, against=("tvm",), calls=30)


def test_a_float_file_is_measured(model: Path) -> None:
    found = compare(model.with_name("m.onnx"), against=(), calls=30)

    assert found.run.latencies[0].calls == 30


def test_it_becomes_json(model: Path) -> None:
    fields = compare(model, against=(), calls=30).to_dict()

    assert fields["signal"] == "1000 frames of noise"
    assert fields["run"]["latencies"][0]["calls"] == 30
    assert fields["environment"]["versions"]["tidegate"]
