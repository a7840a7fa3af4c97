"""Inputs that become constants: numbers that fill them, and arrays of their shape for one stream."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tidegate.export.foreign.fixed_inputs import fix_inputs, spread_over_streams
from tidegate.export.graph.axes import Dims, set_dims
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ModelError
from tools.graphs import run


def _model(name: str, dims: Dims, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """Return a model of a signal [time, streams, 2] and another input, whose values it returns."""
    signal = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", "streams", 2])
    other = helper.make_tensor_value_info(name, kind, dims)
    output = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph([helper.make_node("Identity", [name], ["y"])], "g", [signal, other], [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_an_input_becomes_a_constant_of_its_type() -> None:
    model = _model("sr", (), TensorProto.INT64)
    (fixed,) = fix_inputs(model, {"sr": 16000})
    assert (str(fixed.value.dtype), fixed.value.shape, fixed.value.item()) == ("int64", (), 16000)
    assert fixed.text == "16000"
    assert [item.name for item in model.graph.input] == ["x"]


def test_an_array_for_one_stream_is_repeated_for_each_stream() -> None:
    vector = np.arange(3, dtype=np.float64)[None]
    model = _model("speaker", ("streams", 3))
    fixed = fix_inputs(model, {"speaker": vector})
    spread_over_streams(model, fixed, "x")
    assert fixed[0].text == "3 values"
    assert fixed[0].of_streams(2).shape == (2, 3)
    seen = run(model, {"x": np.zeros((7, 2, 2), np.float32)})["y"]
    np.testing.assert_array_equal(seen, np.repeat(vector, 2, 0).astype(np.float32))


@pytest.mark.parametrize(("dims", "streams"), [((1, 1), 1), ((1,), None), ((2, 3), None)])
def test_a_vector_of_fixed_shape_follows_a_signal_of_one_stream(dims: Dims, streams: int | None) -> None:
    model = _model("knob", dims)
    fixed = fix_inputs(model, {"knob": np.full(dims, 0.5, np.float32)})  # type: ignore[arg-type]
    assert fixed[0].streams == streams
    spread_over_streams(model, fixed, "x")  # the signal has no axis of size 1
    assert [node.op_type for node in model.graph.node] == ["Identity"]
    set_dims(model.graph.input[0], ("time", 1, 2))
    spread_over_streams(model, fixed, "x")
    seen = run(model, {"x": np.zeros((7, 4, 2), np.float32)})["y"]
    assert seen.shape == (dims if streams is None else (4, 1))
    assert fixed[0].of_streams(4).shape == seen.shape


@pytest.mark.parametrize(
    ("dims", "value", "message"),
    [
        ((1000, 1000), 0, r"input 'v' has shape \[1000, 1000\], and a number fills only a fixed shape of a few values"),
        (("streams", 3), 0, r"input 'v' has shape \[streams, 3\], and a number fills only .*\(--set NAME=FILE\.npy\)"),
        (("streams", 3), np.zeros(3), r"input 'v' of shape \[streams, 3\] is set to float64 \(3,\), wanted \(1, 3\)"),
        (("streams", None), np.zeros((1, 1)), r"wanted \(1, 1\): its values for one stream, fixed sizes but for the"),
        ((70_000,), np.zeros(70_000), r"is set to float64 \(70000,\), wanted \(70000,\)"),
        ((2,), np.array([1, np.nan]), "input 'v' is set to float64 values, wanted finite float32"),
        ((2,), np.array([1j, 2j]), "input 'v' is set to complex128 values, wanted finite float32"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(dims: Dims, value: float | Array, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        fix_inputs(_model("v", dims), {"v": value})


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ModelError, match="there is no input 'w' to set; the file has x, v"):
        fix_inputs(_model("v", (1,)), {"w": 1})
