"""Tails of a signal as states: the nodes, the state, and which Pads they stand for."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from tidegate.export.states.tails import tail_nodes, tail_state, zeros_around
from tidegate.runtime.contract import State
from tidegate.runtime.graph.graph import Graph


def padded(mode: str = "constant", value: float = 0.0, axes: bool = False) -> onnx.ModelProto:
    """A Pad by two frames in front of `[1, frames, 3]`."""
    inputs = ["x", "pads", "value", *(["axes"] if axes else [])]
    constants = {"pads": np.array([0, 2, 0, 0, 0, 0]), "value": np.float32(value), "axes": np.array([0, 1, 2])}
    items = [numpy_helper.from_array(np.asarray(constants[name]), name) for name in inputs[1:]]
    node = helper.make_node("Pad", inputs, ["y"], mode=mode)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy")
    return helper.make_model(helper.make_graph([node], "g", [x], [y], items))


def test_zeros_at_the_ends_of_the_axes() -> None:
    graph = Graph(padded())
    found = zeros_around(graph, next(iter(graph.nodes)))
    assert found is not None
    assert found.tolist() == [0, 2, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "model", [padded("reflect"), padded(value=1.0), padded(axes=True)], ids=["mode", "ones", "axes"]
)
def test_another_pad_is_none(model: onnx.ModelProto) -> None:
    graph = Graph(model)
    assert zeros_around(graph, next(iter(graph.nodes))) is None


def test_the_last_frames_of_a_chunk_come_before_those_of_the_next() -> None:
    model = padded()
    del model.graph.node[:]
    model.graph.node.extend(tail_nodes(model, "m", "x", "y", time=1, frames=2))
    assert tail_state(model, "m", ("batch", 2, 3)) == State("m.tail_in", "m.tail_out", "tail", ("batch", 2, 3))
    x, tail = np.arange(12, dtype=np.float32).reshape(1, 4, 3), np.full((1, 2, 3), 9, np.float32)
    y, kept = ReferenceEvaluator(model).run(None, {"x": x, "m.tail_in": tail})
    np.testing.assert_array_equal(y, np.concatenate([tail, x], 1))
    np.testing.assert_array_equal(kept, x[:, 2:])
