"""A model as doors need it: bytes in, bytes out."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.load import compile_model, load
from tidegate.runtime.serving.served_model import Output, ServedModel
from tools.onnx_files import write_ids, write_lstm
from tools.serving import ids_plan, overflowing_plan, signal, small_model


def test_it_describes_frames_and_answers() -> None:
    assert small_model().describe() == {
        "model": "small",
        "type": "float32",
        "shape": [6],
        "signals": [],
        "outputs": [{"name": "y", "shape": [3], "timed": True}],
        "frame_seconds": None,
    }
    assert ServedModel.of(ids_plan()).shape == ()
    assert ServedModel.of(ids_plan()).ids
    assert ServedModel.of(ids_plan()).frame_bytes == 4


def test_a_model_is_called_by_its_file_and_may_be_onnx(tmp_path: Path) -> None:
    write_lstm(tmp_path / "watch.float.onnx")
    compile_model(tmp_path / "watch.float.onnx", tmp_path / "watch.tide")
    onnx, plan = (ServedModel.of(tmp_path / name) for name in ("watch.float.onnx", "watch.tide"))

    assert onnx.name == plan.name == "watch"
    assert plan.outputs == (Output("output", (3,), timed=False),)
    assert plan.describe()["frame_seconds"] == 1 / 50


@pytest.mark.parametrize("frames", [0, 1, 4])
def test_answers_of_a_push_are_bytes_of_each_row(tmp_path: Path, frames: int) -> None:
    """One output with and one without a time axis, several outputs, and ids."""
    one = ServedModel.of(write_lstm(tmp_path / "m.onnx"))
    ids = ServedModel.of(write_ids(tmp_path / "i.onnx"))
    values = np.stack([signal(frames, 0), signal(frames, 1)])
    words = np.arange(2 * frames, dtype=np.int32).reshape(2, frames)
    for served, chunks in ((one, values), (ServedModel.of(overflowing_plan()), values), (ids, words)):
        payloads = [row.tobytes() for row in chunks]
        taken = served.chunks(payloads, frames)
        found = served.payloads(served.model.streams(2).push(taken), 2)
        for row, payload in zip(chunks, found, strict=True):
            answer = load_alone(served, row)
            assert payload == answer
            assert len(payload) == 4 * served.answer_values(frames)


def load_alone(served: ServedModel, frames: np.ndarray) -> bytes:
    answer = served.model.stream().push(frames)
    parts = [answer[output.name] for output in served.outputs] if isinstance(answer, dict) else [answer]
    return b"".join(part.tobytes() for part in parts)


def test_a_model_in_memory_has_a_name() -> None:
    assert ServedModel.of(overflowing_plan()).name == "model"
    assert load(overflowing_plan()).backend == ServedModel.of(overflowing_plan()).model.backend
