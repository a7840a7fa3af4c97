"""Sizes of Expand and Tile follow the axes of the signal."""

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.export.graph.axes import trace_dims
from tidegate.export.graph.editing import remove_dead
from tidegate.export.graph.expands import write_expands
from tools.graphs import model_of, run

SIZES = {"ones": [1, 1, 1], "minus": [-1, -1, -1], "axis1": [1], "one": [1]}


def _torch_expand() -> list[onnx.NodeProto]:
    """Return the chain that torch writes for `v[:, None].expand(-1, x.size(1), -1)`."""
    return [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "axis1"], ["time"], axis=0),
        helper.make_node("Concat", ["one", "time", "one"], ["asked"], axis=0),
        helper.make_node("Equal", ["asked", "minus"], ["kept"]),
        helper.make_node("Where", ["kept", "ones", "asked"], ["sizes"]),
        helper.make_node("Expand", ["v", "sizes"], ["wide"]),
        helper.make_node("Concat", ["x", "wide"], ["y"], axis=2),
    ]


@pytest.mark.parametrize("operator", ["Expand", "Tile"])
def test_the_chain_of_a_repeated_vector_becomes_sizes_of_the_signal(operator: str) -> None:
    nodes = _torch_expand()
    nodes[5].op_type = operator
    model = model_of(nodes, {"x": [1, "axis1", 2]}, ["y"], {**SIZES, "v": np.ones((1, 1, 3), np.float32)})
    dims = trace_dims(model, (1,))
    write_expands(model, dims, "x")
    remove_dead(model)
    assert [node.op_type for node in model.graph.node] == ["Shape", "Gather", "Concat", "Expand", "Concat"]
    seen = run(model, {"x": np.zeros((1, 4, 2), np.float32)})["y"]
    np.testing.assert_array_equal(seen[0], np.tile(np.array([0, 0, 1, 1, 1], np.float32), (4, 1)))
