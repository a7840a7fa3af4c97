"""Layers over frames that the graph turns around: backward layers, with the same answers."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnxruntime import InferenceSession
from tidegate.export.foreign.reversals import turn_layers
from tidegate.runtime.arrays import Array
from tidegate.runtime.graph.nodes import attributes
from tools.foreign_files import ForeignFile

FEATURES, UNITS = 5, 4
HOW = ("ReverseSequence", "Slice")


def turned(file: ForeignFile, value: str, how: str, *, time: int) -> str:
    """Turn the frames of a value around; the batch is on the other of its first two axes."""
    if how == "Slice":
        return file.add("Slice", [value, file.axes(-1), file.axes(-(2**63)), file.axes(time), file.axes(-1)])
    sizes = file.add("Shape", [value])
    frames, streams = (file.add("Gather", [sizes, file.axes(axis)], axis=0) for axis in (time, 1 - time))
    lengths = file.add("Expand", [frames, streams])
    return file.add("ReverseSequence", [value, lengths], time_axis=time, batch_axis=1 - time)


def keras(how: str, *, op: str = "LSTM", again: bool = True, both: bool = False, last: bool = False) -> onnx.ModelProto:
    """Return a layer of Keras with go_backwards, or a Bidirectional one: x `[batch, time, 5]`.

    Args:
        how: The operator that turns frames around.
        op: The layer.
        again: Whether its answers are turned around again.
        both: Whether a forward layer runs too.
        last: Whether only its last answer is read.
    """
    file = ForeignFile(17)
    x = file.add("Transpose", [file.input("x", ["batch", "time", FEATURES])], perm=[1, 0, 2])
    x = file.add("Tanh", [file.add("MatMul", [x, file.weight(FEATURES, FEATURES)])])
    y, *_ = file.cell(op, turned(file, x, how, time=0), FEATURES, UNITS, name="backward")
    value = file.add("Transpose", [file.squeezed(y, 1)], perm=[1, 0, 2])
    value = turned(file, value, how, time=1) if again else value
    if last:
        value = file.add("Gather", [value, file.constant(np.int64(-1))], axis=1)
    if both:
        other, *_ = file.cell(op, x, FEATURES, UNITS, name="forward")
        other = file.add("Transpose", [file.squeezed(other, 1)], perm=[1, 0, 2])
        value = file.add("Concat", [other, value], axis=2)
    width = 2 * UNITS if both else UNITS
    file.output(file.head(value, width, 3, "y"), ["batch", 3] if last else ["batch", "time", 3])
    return file.model()


def _run(model: onnx.ModelProto) -> Array:
    x = np.random.default_rng(1).standard_normal((2, 9, FEATURES)).astype(np.float32)
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answers: Array = session.run(None, {"x": x})[0]
    return answers


def _directions(model: onnx.ModelProto) -> dict[str, str]:
    return {node.name: attributes(node).get("direction", "forward") for node in model.graph.node if node.input[1:2]
            and node.op_type in ("LSTM", "GRU", "RNN")}  # fmt: skip


def _operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("how", HOW)
def test_row_83_a_layer_over_frames_turned_around(how: str, op: str) -> None:
    model = keras(how, op=op, both=True)
    wanted = _run(model)
    assert turn_layers(model, "x") == ["backward"]
    assert _directions(model) == {"backward": "reverse", "forward": "forward"}
    assert not _operators(model) & {"ReverseSequence", "Slice"}
    np.testing.assert_allclose(_run(model), wanted, atol=1e-6)


@pytest.mark.parametrize("how", HOW)
def test_the_last_answer_of_a_layer_with_go_backwards_is_its_final_h(how: str) -> None:
    model = keras(how, again=False, last=True)
    wanted = _run(model)
    assert turn_layers(model, "x") == ["backward"]
    assert not _operators(model) & {"ReverseSequence", "Slice"}
    np.testing.assert_allclose(_run(model), wanted, atol=1e-6)


def test_answers_that_stay_turned_around_are_the_same() -> None:
    """They come from the last frame to the first, so lift refuses them afterwards, by the node that turns them."""
    model = keras("Slice", again=False)
    wanted = _run(model)
    assert turn_layers(model, "x") == ["backward"]
    assert "Slice" in _operators(model)
    np.testing.assert_allclose(_run(model), wanted, atol=1e-6)


def test_two_layers_without_names_stay_two() -> None:
    file = ForeignFile(17)
    x = file.input("x", ["time", "batch", FEATURES])
    value, width = turned(file, x, "Slice", time=0), FEATURES
    for _ in range(2):
        y, *_ = file.cell("GRU", value, width, UNITS, name="")
        value, width = file.squeezed(y, 1), UNITS
    file.output(file.add("Identity", [turned(file, value, "Slice", time=0)], "y"), ["time", "batch", UNITS])
    model = file.model()
    x_0 = np.random.default_rng(1).standard_normal((9, 2, FEATURES)).astype(np.float32)
    wanted = InferenceSession(model.SerializeToString()).run(None, {"x": x_0})[0]
    assert turn_layers(model, "x") == ["GRU", "GRU_1"]
    assert set(_directions(model).values()) == {"reverse"}
    seen = InferenceSession(model.SerializeToString()).run(None, {"x": x_0})[0]
    np.testing.assert_allclose(seen, wanted, atol=1e-6)


def test_a_forward_model_stays_as_it_is() -> None:
    file = ForeignFile(17)
    y, *_ = file.cell("LSTM", file.input("x", ["time", "batch", FEATURES]), FEATURES, UNITS)
    part = file.add("Slice", [file.squeezed(y, 1), file.axes(0), file.axes(2), file.axes(2)])
    file.output(file.add("Identity", [part], "y"), ["time", "batch", 2])
    model = file.model()
    before = model.SerializeToString()
    assert turn_layers(model, "x") == []
    assert model.SerializeToString() == before


def test_features_that_are_turned_around_are_no_frames() -> None:
    file = ForeignFile(17)
    x = file.input("x", ["time", "batch", FEATURES])
    mirrored = file.add("Slice", [x, file.axes(-1), file.axes(-(2**63)), file.axes(2), file.axes(-1)])
    y, *_ = file.cell("GRU", mirrored, FEATURES, UNITS)
    file.output(file.add("Identity", [file.squeezed(y, 1)], "y"), ["time", "batch", UNITS])
    model = file.model()
    assert turn_layers(model, "x") == []
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert "Slice" in _operators(model)
