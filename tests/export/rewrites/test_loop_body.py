"""A rolled node does for all frames what the node does for each frame."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.export.rewrites.loop_body import FRAMES, rolled_node
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tools.graphs import floats, model_of, run

TIME = 5
TENSORS: dict[str, Array] = {
    "weight": floats(4, 3),
    "wide": floats(3, 4),
    "bias": floats(3),
    "scale": floats(4),
    "table": floats(9, 4),
    "one": np.array([1]),
    "last": np.array([-1]),
    "start": np.array([1]),
    "end": np.array([3]),
    "first": np.array(0),
}


def _node(op: str, inputs: list[str], **attributes: Any) -> onnx.NodeProto:  # noqa: ANN401  of any operator
    return helper.make_node(op, inputs, ["y"], f"/{op}", **attributes)


NODES = {
    "Tanh": _node("Tanh", ["x"]),
    "Add of a constant": _node("Add", ["x", "scale"]),
    "MatMul": _node("MatMul", ["x", "weight"]),
    "Gemm": _node("Gemm", ["x", "weight", "bias"]),
    "Gemm turned": _node("Gemm", ["x", "wide", "bias"], transB=1),
    "Gemm without bias": _node("Gemm", ["x", "weight"]),
    "Softmax": _node("Softmax", ["x"], axis=1),
    "Softmax by default": _node("Softmax", ["x"]),
    "LayerNormalization": _node("LayerNormalization", ["x", "scale"]),
    "Concat": _node("Concat", ["x", "x2"], axis=1),
    "ReduceSum": _node("ReduceSum", ["x", "one"]),
    "ReduceSum from the end": _node("ReduceSum", ["x", "last"], keepdims=0),
    "Slice": _node("Slice", ["x", "start", "end", "one"]),
    "Unsqueeze": _node("Unsqueeze", ["x", "one"]),
    "Gather in a frame": _node("Gather", ["x", "first"], axis=1),
}


def _rolled(node: onnx.NodeProto, frames: Mapping[str, Array]) -> Array:
    """Return the values of a rolled node for all frames."""
    timed = {name: values for name, values in frames.items() if name in node.input}
    model = model_of([], {f"{name}{FRAMES}": values.shape for name, values in timed.items()}, [f"y{FRAMES}"], TENSORS)
    parts = [f"{name}{FRAMES}" if name in timed else None for name in node.input]
    model.graph.node.extend(rolled_node(Graph(model), node, parts))
    return run(model, {f"{name}{FRAMES}": values for name, values in timed.items()})[f"y{FRAMES}"]


@pytest.mark.parametrize("name", NODES)
def test_all_frames_at_once_are_the_frames_one_by_one(name: str) -> None:
    node, frames = NODES[name], {"x": floats(TIME, 2, 4), "x2": floats(TIME, 2, 4, seed=1)}
    reads = {key: values for key, values in frames.items() if key in node.input}
    single = model_of([node], {key: values.shape[1:] for key, values in reads.items()}, ["y"], TENSORS)
    wanted = [run(single, {key: values[t] for key, values in reads.items()})["y"] for t in range(TIME)]
    np.testing.assert_allclose(_rolled(node, frames), np.stack(wanted), rtol=1e-6, atol=1e-6)


def test_ids_are_looked_up_for_all_frames() -> None:
    ids = np.array([[3, 0], [8, 8], [1, 2]])
    seen = _rolled(_node("Gather", ["table", "ids"]), {"ids": ids})
    np.testing.assert_array_equal(seen, TENSORS["table"][ids])


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (_node("TopK", ["x", "one"]), "TopK '/TopK': is in the loop over time and not known to act on each frame"),
        (_node("Concat", ["x", "weight"], axis=1), "Concat '/Concat': is in the loop over time and not known to act"),
        (_node("Gemm", ["x", "weight"], alpha=0.5), "with a scale or transA, wanted alpha = beta = 1, transA = 0"),
        (_node("Gemm", ["x", "weight"], transA=1), "with a scale or transA, wanted alpha = beta = 1, transA = 0"),
        (_node("ReduceSum", ["x"]), "its axes are not constant, wanted constant axes"),
    ],
    ids=["unknown", "a constant part", "scaled", "turned", "all axes"],
)
def test_other_nodes_are_refused(node: onnx.NodeProto, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        _rolled(node, {"x": floats(TIME, 2, 4)})
