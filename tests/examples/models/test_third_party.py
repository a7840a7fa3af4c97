"""The answers of third-party ONNX files: by onnxruntime, with states, samples of the frame before, fixed inputs."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from third_party import frame_by_frame, made, values_of, whole
from tools.foreign_files import keras, one_frame

STATES = {"h_prev": "h_next", "c_prev": "c_next"}
FEATURES = {"kind": "features", "frames": 6, "width": 5, "scale": 1.0}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "files"


def test_states_are_carried_from_frame_to_frame(folder: Path) -> None:
    import onnxruntime

    onnx.save(one_frame(), folder / "net.onnx")
    (stream,) = frame_by_frame("net.onnx", FEATURES, STATES)
    session = onnxruntime.InferenceSession(folder / "net.onnx", providers=["CPUExecutionProvider"])
    h = c = np.zeros((1, 1, 6), np.float32)
    for frame, answer in zip(stream.frames, stream.answers, strict=True):
        wanted, h, c = session.run(None, {"frame": frame[None], "h_prev": h, "c_prev": c})
        np.testing.assert_array_equal(answer, wanted[0])


def test_a_named_output_is_compared(folder: Path) -> None:
    onnx.save(one_frame(), folder / "net.onnx")
    (stream,) = frame_by_frame("net.onnx", FEATURES, STATES, output="h_next")
    assert stream.output == "h_next"
    assert stream.answers.shape == (6, 6)


def test_frames_start_with_the_end_of_the_one_before_and_inputs_stay_the_same(folder: Path) -> None:
    """The file adds its input to one that stays the same."""
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Add", ["x", "given"], ["y"])]
    inputs = [value("x", TensorProto.FLOAT, [1, 5]), value("given", TensorProto.FLOAT, [1])]
    graph = helper.make_graph(nodes, "sum", inputs, [value("y", TensorProto.FLOAT, [1, 5])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "net.onnx")
    np.save(folder / "one.npy", np.ones(1, np.float32))
    signal = {"kind": "sound", "rate": 1000, "seconds": 0.1, "frame": 3, "hop": 3}
    (stream,) = frame_by_frame("net.onnx", signal, {}, context=2, values={"given": "one.npy"})
    frames = stream.frames
    np.testing.assert_array_equal(stream.answers[0], np.array([0, 0, *frames[0]], np.float32) + 1)
    np.testing.assert_array_equal(stream.answers[1], np.array([*frames[0][1:], *frames[1]], np.float32) + 1)


def test_a_whole_signal_has_one_answer(folder: Path) -> None:
    file = keras(batch=1, sequences=False)
    shape = numpy_helper.from_array(np.array([1, -1, 5]), "shape")
    file.graph.initializer.append(shape)
    file.graph.node.insert(0, helper.make_node("Reshape", ["row", "shape"], ["args_0"]))
    file.graph.input[0].CopyFrom(helper.make_tensor_value_info("row", TensorProto.FLOAT, [1, 10]))
    onnx.save(file, folder / "net.onnx")
    streams = whole("net.onnx", FEATURES, 2)
    assert [stream.frames.shape for stream in streams] == [(2, 5)] * 3
    assert all(stream.last and stream.answers.shape == (3,) for stream in streams)


def test_signals_by_name() -> None:
    sizes = {"rate": 1000, "seconds": 0.1, "frame": 8, "hop": 4}
    assert made({"kind": "sound", **sizes}).shape == (24, 8)
    assert made({"kind": "magnitudes", **sizes}).shape == (24, 5)
    assert made(FEATURES).shape == (6, 5)


def test_integers_are_values_of_inputs() -> None:
    assert values_of({"sr": 16000})["sr"].dtype == np.int64
