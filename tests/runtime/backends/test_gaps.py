"""`skip`: what a stream does where frames were lost, on both backends."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks.nets import stacks
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.load import Backend, load
from tidegate.runtime.streams import Model
from tools.live import frames
from tools.onnx_files import write_ids

X = frames(9000)


@pytest.fixture(params=["native", "onnxruntime"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Model:
    stacks.save_model(stacks.random_layers(stacks.Case("small", 3, 5, 2)), tmp_path / "m.onnx")
    backend: Backend = request.param
    return load(tmp_path / "m.onnx", backend)


def test_hold_goes_on_from_the_same_state(model: Model) -> None:
    stream, other = model.stream(), model.stream()
    for each in (stream, other):
        each.push(X[:10])

    assert stream.skip(7, "hold") is None
    assert np.array_equal(stream.push(X[10:20]), other.push(X[10:20]))


@pytest.mark.parametrize("frames", [1, 4096, 5000])
def test_zeros_are_frames_of_zeros(frames: int, model: Model) -> None:
    stream, other = model.stream(), model.stream()

    answers = stream.skip(frames, "zeros")
    assert answers is not None
    assert np.array_equal(answers, other.push(np.zeros((frames, 3), np.float32)))
    assert np.array_equal(stream.push(X[:5]), other.push(X[:5]))
    assert stream.frames == frames + 5


def test_reset_starts_anew(model: Model) -> None:
    stream = model.stream()
    stream.push(X[:10])

    assert stream.skip(1, "reset") is None
    assert stream.frames == 0
    assert np.array_equal(stream.push(X[:5]), model.stream().push(X[:5]))


def test_no_frames_change_nothing(model: Model) -> None:
    stream = model.stream()
    stream.push(X[:10])
    before = stream.snapshot()

    assert stream.skip(0, "reset") is None
    assert stream.snapshot() == before


def test_wrong_calls_are_refused_by_name(model: Model, tmp_path: Path) -> None:
    stream = model.stream()
    with pytest.raises(ChunkError, match="policy 'guess' is unknown, wanted hold, zeros, reset"):
        stream.skip(1, "guess")  # type: ignore[arg-type]
    with pytest.raises(ChunkError, match="-1 frames were lost; wanted 0 or more"):
        stream.skip(-1, "reset")
    write_ids(tmp_path / "ids.onnx")
    with pytest.raises(ChunkError, match=r"a model of token ids.* has no frame of zeros; hold or reset"):
        load(tmp_path / "ids.onnx").stream().skip(1, "zeros")


def test_the_shape_of_a_frame_is_known(model: Model, tmp_path: Path) -> None:
    write_ids(tmp_path / "ids.onnx")

    assert model.frame_shape == (3,)
    assert load(tmp_path / "ids.onnx").frame_shape == ()
