"""finish() ends a stream: it returns waiting answers, and the stream takes no frame until reset()."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.load import Backend, load
from tools.onnx_files import write_lstm

FRAMES = np.random.default_rng(1).normal(0, 1, (9, 6)).astype(np.float32)


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_causal_model_holds_nothing_back(tmp_path: Path, backend: Backend) -> None:
    stream = load(write_lstm(tmp_path / "m.onnx"), backend).stream()
    expected = stream.push(FRAMES)
    assert not stream.finished
    assert stream.finish() is None
    assert stream.finished
    for refused in (lambda: stream.push(FRAMES), stream.finish):
        with pytest.raises(ChunkError, match=r"the stream was finished; reset\(\) starts a new one"):
            refused()
    assert (stream.frames, stream.refused) == (9, 0)
    stream.reset()
    assert not stream.finished
    np.testing.assert_array_equal(stream.push(FRAMES), expected)


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_snapshot_remembers_that_a_stream_was_finished(tmp_path: Path, backend: Backend) -> None:
    stream = load(write_lstm(tmp_path / "m.onnx"), backend).stream()
    stream.push(FRAMES)
    before = stream.snapshot()
    stream.finish()
    after = stream.snapshot()
    assert stream.fork().finished
    stream.restore(before)
    assert not stream.finished
    stream.push(FRAMES)
    stream.restore(after)
    with pytest.raises(ChunkError, match="the stream was finished"):
        stream.push(FRAMES)
