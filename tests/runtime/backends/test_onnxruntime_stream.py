"""A stream on onnxruntime: axes, outputs, refused chunks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tidegate.runtime.arrays import Array
from tidegate.runtime.backends.onnxruntime import OnnxruntimeModel
from tidegate.runtime.backends.onnxruntime_stream import one_stream, refuse_unfinite
from tidegate.runtime.contract import Port
from tidegate.runtime.errors import ChunkError, ModelError
from tidegate.runtime.load import load
from tools.onnx_files import write_lstm
from tools.onnxruntime_models import FRAMES, gain, stream_of


def test_several_outputs_come_by_name() -> None:
    answer = OnnxruntimeModel(gain()).stream().push(FRAMES)
    assert isinstance(answer, dict)
    assert list(answer) == ["double", "last"]
    np.testing.assert_array_equal(answer["double"], 2 * FRAMES, strict=True)
    np.testing.assert_array_equal(answer["last"], FRAMES[-1], strict=True)


@pytest.mark.parametrize(
    ("shape", "time", "batch"), [(("time", "batch", 6), 0, 1), (("batch", "time", 6), 1, 0), ((1, "time", 6), 1, 0)]
)
def test_axis_of_streams_is_added_and_taken_away(shape: Sequence[int | str], time: int, batch: int) -> None:
    answer = OnnxruntimeModel(gain(shape, time, batch)).stream().push(FRAMES)
    assert isinstance(answer, dict)
    np.testing.assert_array_equal(answer["double"], 2 * FRAMES, strict=True)
    np.testing.assert_array_equal(answer["last"], FRAMES[-1], strict=True)


def test_frames_of_several_axes_stream() -> None:
    """Frames may be images here; the engine does not have them."""
    images = np.random.default_rng(0).normal(0, 1, (3, 2, 5)).astype(np.float32)
    stream = OnnxruntimeModel(gain(("batch", "time", 2, 5), 1, 0)).stream()
    answer = stream.push(images)
    assert isinstance(answer, dict)
    np.testing.assert_array_equal(answer["double"], 2 * images, strict=True)
    with pytest.raises(ChunkError, match=r"chunk has shape \(3, 5, 2\), wanted \(frames, 2, 5\)"):
        stream.push(images.transpose(0, 2, 1))
    images[2, 0, 3] = np.inf
    with pytest.raises(ChunkError, match="chunk holds inf at frame 2, feature 0; wanted finite"):
        stream.push(images)


def test_streams_of_one_model_are_apart(tmp_path: Path) -> None:
    model = load(write_lstm(tmp_path / "m.onnx"), "onnxruntime")
    busy, fresh = model.stream(), model.stream()
    first = busy.push(FRAMES)
    busy.push(FRAMES)
    np.testing.assert_array_equal(fresh.push(FRAMES), first)


def test_reset_makes_a_stream_as_new(tmp_path: Path) -> None:
    stream = stream_of(tmp_path)
    first = np.array(stream.push(FRAMES))
    assert not np.array_equal(np.asarray(stream.push(FRAMES)), first)
    stream.reset()
    assert all(not np.any(values) for values in stream.state().values())
    np.testing.assert_array_equal(stream.push(FRAMES), first)


def test_state_is_a_copy(tmp_path: Path) -> None:
    stream = stream_of(tmp_path)
    stream.push(FRAMES)
    for values in stream.state().values():
        values[...] = 9
    assert all(np.all(np.abs(values) < 9) for values in stream.state().values())


def test_out_is_written_and_returned(tmp_path: Path) -> None:
    out = np.empty(3, np.float32)
    expected = stream_of(tmp_path).push(FRAMES)
    assert stream_of(tmp_path).push(FRAMES, out=out) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("out", [np.empty(4, np.float32), np.empty((1, 3), np.float32), np.empty(3, np.float64)])
def test_out_that_does_not_fit_is_refused(tmp_path: Path, out: Array) -> None:
    with pytest.raises(ChunkError, match=r"out is float\d\d \(.*\), wanted float32 \(3,\)"):
        stream_of(tmp_path).push(FRAMES, out=out)


def test_out_that_does_not_fit_leaves_the_state(tmp_path: Path) -> None:
    stream = stream_of(tmp_path)
    stream.push(FRAMES)
    before = stream.state()
    with pytest.raises(ChunkError, match="out is float32"):
        stream.push(FRAMES, out=np.empty(4, np.float32))
    for name, values in stream.state().items():
        np.testing.assert_array_equal(values, before[name])


def test_out_is_refused_where_there_are_several_outputs() -> None:
    with pytest.raises(ChunkError, match="out is for models with one output; this one has several"):
        OnnxruntimeModel(gain()).stream().push(FRAMES, out=np.empty((12, 6), np.float32))


@pytest.mark.parametrize(
    "same",
    [FRAMES.astype(np.float64), np.asfortranarray(FRAMES), np.repeat(FRAMES, 2, 0)[::2], FRAMES.tolist()],
    ids=["float64", "fortran", "strided", "list"],
)
def test_other_float_types_and_layouts_are_converted(tmp_path: Path, same: Any) -> None:  # noqa: ANN401
    expected = stream_of(tmp_path).push(FRAMES)
    np.testing.assert_array_equal(stream_of(tmp_path).push(same), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e20])
def test_value_that_is_not_finite_or_too_large_is_named(value: float) -> None:
    frames = FRAMES.copy()
    frames[7, 2] = value
    with pytest.raises(ChunkError, match=r"chunk holds .* at frame 7, feature 2; wanted finite values up to 2\^64"):
        refuse_unfinite(frames)


def test_one_dimensional_chunk_is_named_by_frame() -> None:
    with pytest.raises(ChunkError, match="chunk holds nan at frame 1, feature 0"):
        refuse_unfinite(np.array([0, np.nan], np.float32))


def test_time_axis_may_stand_behind_the_features() -> None:
    answer = OnnxruntimeModel(gain(("batch", 6, "time"), 2, 0)).stream().push(FRAMES)
    assert isinstance(answer, dict)
    np.testing.assert_array_equal(answer["double"], 2 * FRAMES, strict=True)


@pytest.mark.parametrize(
    ("port", "shape"),
    [(Port("y", 1, 0), ()), (Port("y", 1, 0), (3,)), (Port("y", None, 0), ()), (Port("y", 0, 2), (3, 1))],
)
def test_answer_with_fewer_axes_than_the_contract_says_is_refused(port: Port, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"output 'y' has shape \(.*\), but the contract names its axis"):
        one_stream(port, np.zeros(shape, np.float32))
