"""Inputs that become constants: numbers that fill them, and arrays of their shape for one stream."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tidegate.export.foreign.fixed_inputs import cut_values, fix_inputs, spread_over_signal
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
    (fixed,) = fix_inputs(model, {"sr": 16000}, "x")
    assert (str(fixed.value.dtype), fixed.value.shape, fixed.value.item()) == ("int64", (), 16000)
    assert fixed.text == "16000"
    assert [item.name for item in model.graph.input] == ["x"]


def test_an_array_for_one_stream_is_repeated_for_each_stream() -> None:
    vector = np.arange(3, dtype=np.float64)[None]
    model = _model("speaker", ("streams", 3))
    fixed = fix_inputs(model, {"speaker": vector}, "x")
    spread_over_signal(model, fixed, "x")
    assert fixed[0].text == "3 values"
    assert fixed[0].of_signal((7, 2, 2)).shape == (2, 3)
    seen = run(model, {"x": np.zeros((7, 2, 2), np.float32)})["y"]
    np.testing.assert_array_equal(seen, np.repeat(vector, 2, 0).astype(np.float32))


@pytest.mark.parametrize(("dims", "follows"), [((1, 1), {0: 1}), ((1,), {}), ((2, 3), {})])
def test_a_vector_of_fixed_shape_follows_a_signal_of_one_stream(dims: Dims, follows: dict[int, int]) -> None:
    for streams, wanted in (("streams", {}), (1, follows)):
        model = _model("knob", dims)
        set_dims(model.graph.input[0], ("time", streams, 2))
        fixed = fix_inputs(model, {"knob": np.full(dims, 0.5, np.float32)}, "x")  # type: ignore[arg-type]
        assert fixed[0].follows == wanted
        spread_over_signal(model, fixed, "x")
        seen = run(model, {"x": np.zeros((7, 4 if streams == 1 else 1, 2), np.float32)})["y"]
        assert seen.shape == ((4, 1) if wanted and streams == 1 else dims)
        assert fixed[0].of_signal((7, len(seen), 2)).shape == seen.shape


@pytest.mark.parametrize(
    ("dims", "wanted"),
    [(("streams", "time"), (4, 7)), (("time", "streams"), (7, 4)), (("a", "b", 2), (7, 4, 2)), ((None, None), (7, 4))],
)
def test_a_number_fills_the_free_sizes_of_the_signal(dims: Dims, wanted: tuple[int, ...]) -> None:
    model = _model("mask", dims, TensorProto.BOOL)
    fixed = fix_inputs(model, {"mask": 1}, "x")
    spread_over_signal(model, fixed, "x")
    assert fixed[0].text == "1"
    for seen in (run(model, {"x": np.zeros((7, 4, 2), np.float32)})["y"], fixed[0].of_signal((7, 4, 2))):
        assert (seen.shape, bool(seen.all())) == (wanted, True)


@pytest.mark.parametrize(
    ("dims", "value", "message"),
    [
        ((1000, 1000), 0, r"input 'v' has shape \[1000, 1000\], and a number fills at most 65536 values"),
        ((2, 2, "v"), 0, r"\[2, 2, v\], .* free sizes of the signal, \[time, streams, 2\]; export the model with this"),
        (("streams", 3), np.zeros(3), r"input 'v' of shape \[streams, 3\] is set to float64 \(3,\), wanted \(1, 3\)"),
        (("streams", None), np.zeros((1, 2)), r"wanted \(1, 1\), at most 65536 values: those for one stream, and 1 in"),
        ((70_000,), np.zeros(70_000), r"is set to float64 \(70000,\), wanted \(70000,\)"),
        ((2,), np.array([1, np.nan]), "input 'v' is set to float64 values, wanted finite float32"),
        ((2,), np.array([1j, 2j]), "input 'v' is set to complex128 values, wanted finite float32"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(dims: Dims, value: float | Array, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        fix_inputs(_model("v", dims), {"v": value}, "x")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ModelError, match="there is no input 'w' to set; the file has x, v"):
        fix_inputs(_model("v", (1,)), {"w": 1}, "x")


def _computed() -> onnx.ModelProto:
    """Return a model that answers whether the features of a frame are over 0, of a signal without names of sizes."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], "max", axes=[2]),
        helper.make_node("Cast", ["largest"], ["mask"], "cast", to=TensorProto.BOOL),
        helper.make_node("Identity", ["mask"], ["y"]),
    ]
    signal = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4, 2])
    output = helper.make_tensor_value_info("y", TensorProto.BOOL, [None, None, None])
    return helper.make_model(
        helper.make_graph(nodes, "g", [signal], [output]), opset_imports=[helper.make_opsetid("", 17)]
    )


def test_a_computed_value_that_is_set_becomes_an_input_of_its_type_and_sizes() -> None:
    model = _computed()
    cut_values(model, ["mask"])
    onnx.checker.check_model(model, full_check=True)
    (fixed,) = fix_inputs(model, {"mask": 1}, "x")
    assert (str(fixed.value.dtype), fixed.value.shape, fixed.follows) == ("bool", (1, 1, 1), {0: 0, 1: 1})
    spread_over_signal(model, [fixed], "x")
    np.testing.assert_array_equal(run(model, {"x": np.zeros((7, 4, 2), np.float32)})["y"], np.ones((7, 4, 1), bool))


def test_names_of_inputs_and_unknown_names_cut_nothing() -> None:
    model = _computed()
    before = model.SerializeToString()
    cut_values(model, ["x", "other"])
    assert model.SerializeToString() == before


def test_a_computed_value_without_a_known_shape_is_refused_by_the_node_that_makes_it() -> None:
    model = _computed()
    model.graph.node[0].CopyFrom(helper.make_node("Unknown", ["x"], ["largest"], "max", domain="elsewhere"))
    model.opset_import.append(helper.make_opsetid("elsewhere", 1))
    with pytest.raises(ModelError, match=r"'mask' is computed by Cast 'cast', and its shape is not known; export the"):
        cut_values(model, ["mask"])
