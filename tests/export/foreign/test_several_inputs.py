"""Signals and static inputs of a foreign file are found by their shapes."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from tidegate.export.foreign.several_inputs import follow_signal, join_inputs
from tidegate.export.graph.axes import Dims, shape_of
from tidegate.runtime.contract import Piece
from tidegate.runtime.errors import ModelError
from tools.graphs import model_of

X: Dims = ("batch", "time", 3)
CASES: dict[str, tuple[dict[str, Dims], list[str], list[str], list[str]]] = {
    "one signal": ({"x": X}, [], [], []),
    "two signals": ({"x": X, "y": ("batch", "time", 2)}, [], ["x", "y"], []),
    "a speaker": ({"v": ("batch", 4), "x": X}, ["v"], [], ["v"]),
    "a speaker by its shape": ({"x": X, "v": ("batch", 4)}, [], [], ["v"]),
    "knobs": ({"x": X, "a": (1,), "b": ()}, [], [], ["a", "b"]),
    "frames of one": ({"x": (1, 5), "y": (1, 4)}, [], ["x", "y"], []),
    "frames of one and a static input": ({"x": (1, 5), "y": (1, 4)}, ["y"], [], ["y"]),
    "perhaps a state, by its shape": ({"x": (1, 5), "s": (1, 3)}, [], [], []),
    "all": ({"x": X, "v": ("batch", 4), "y": ("batch", "time", 2)}, [], ["x", "y"], ["v"]),
}


@pytest.mark.parametrize("name", CASES)
def test_inputs_have_their_roles(name: str) -> None:
    inputs, static, signals, kept = CASES[name]
    nodes = [helper.make_node("Identity", [key], [f"{key}_seen"]) for key in inputs]
    model = model_of(nodes, inputs, [f"{key}_seen" for key in inputs])
    model.graph.output.append(helper.make_tensor_value_info("other", 1, [1, 3]))
    several = join_inputs(model, {}, [], static)
    assert ([] if several.joined is None else [piece.name for piece in several.joined.pieces]) == signals
    assert list(several.static) == kept
    assert [item.name for item in model.graph.input if item.name in kept] == kept
    assert model.graph.input[0].name == ("signals" if signals else "x")
    assert len(several.notes()) == bool(signals) + len(kept)


def test_integers_are_a_signal_if_nodes_look_them_up() -> None:
    inputs: dict[str, Dims] = {"x": X, "word": ("batch", "time"), "mask": ("batch", "time")}
    nodes = [helper.make_node("Cast", ["word"], ["id"], to=7), helper.make_node("Gather", ["table", "id"], ["row"])]
    nodes.append(helper.make_node("Identity", ["mask"], ["kept"]))
    model = model_of(nodes, inputs, ["row", "kept"], {"table": np.zeros((9, 2), np.float32)})
    for item in model.graph.input[1:]:
        item.type.tensor_type.elem_type = TensorProto.INT32
    several = join_inputs(model, {}, [], [])
    assert several.pieces == (Piece("x", (3,)), Piece("word", ()))
    assert [item.name for item in model.graph.input] == ["signals", "mask"]
    assert [node.attribute[0].i for node in model.graph.node if node.output[0] == "word"] == [TensorProto.INT32]


def test_the_streams_of_a_static_input_follow_the_signal() -> None:
    inputs: dict[str, Dims] = {"x": ("time", "batch", 3), "v": ("batch", 4), "w": (2, 4), "k": (1,)}
    model = model_of([], inputs, [])
    follow_signal(model, ["v", "w", "k"], "x")
    assert [shape_of(item) for item in model.graph.input][1:] == [("axis1", 4), (2, 4), (1,)]


def test_a_static_input_that_is_none_is_refused() -> None:
    model = model_of([], {"x": X}, [])
    with pytest.raises(ModelError, match="there is no input 'v' of floats to be static; the file has x"):
        join_inputs(model, {}, [], ["v"])
