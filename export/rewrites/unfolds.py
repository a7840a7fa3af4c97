"""Unfold inside a frame (im2col): torch takes values at computed places, and each frame at its own place.

Places that do not follow the sizes of the signal become constants, and taking every frame at its own place a new axis.
Then the frames of a chunk do not depend on its length, and each frame is unfolded by itself.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from ...runtime.arrays import Array
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.axes import Dims, sized_model
from ..graph.constants import fold_constants
from ..graph.editing import add_constant

_LENGTHS = (3, 5)  # of the free axes, to see what the places follow


def write_unfolds(model: onnx.ModelProto, source: str, free: Sequence[int]) -> None:
    """Write the computed places of Gather nodes as constants or as a new axis, and join Reshapes in a row, in place.

    Args:
        model: An ONNX model.
        source: Its signal input.
        free: The axes of the signal whose sizes may vary.
    """
    graph = Graph(model)
    asked = [n for n in graph.nodes if n.op_type == "Gather" and _may_unfold(graph, n.input[1])]
    if not asked:
        return
    sized = [_sized(model, source, free, length) for length in _LENGTHS]
    for node in asked:
        found = [(at.constant(node.input[1]), _along(node, dims)) for at, dims in sized]
        (first, size), (second, other) = found
        if first is None or second is None:
            continue
        if _is_each(first, size) and _is_each(second, other):
            _unsqueezed(model, node)
        elif np.array_equal(first, second):
            node.input[1] = add_constant(model, f"{node.name}/places", first.astype(np.int64))
    _join_reshapes(model)


def _may_unfold(graph: Graph, name: str) -> bool:
    """Return whether places come from a Range, as those of an unfold do, or are constants `[1, size]`."""
    known = graph.constant(name)
    if known is not None:
        return bool(known.ndim == 2 and known.shape[0] == 1)
    waiting, seen = [name], set[str]()
    while waiting:
        node = graph.producer(waiting.pop())
        if node is not None and node.op_type == "Range":
            return True
        if node is not None and node.op_type in ("Add", "Cast", "Mul", "Unsqueeze", "Reshape"):
            waiting += [one for one in node.input if one and one not in seen]
            seen.update(node.input)
    return False


def _sized(model: onnx.ModelProto, source: str, free: Sequence[int], length: int) -> tuple[Graph, dict[str, Dims]]:
    sized, dims = sized_model(model, source, dict.fromkeys(free, length))
    fold_constants(sized)
    return Graph(sized), dims


def _along(node: onnx.NodeProto, dims: dict[str, Dims]) -> object:
    """Return the size of the axis that a Gather takes from."""
    shape = dims.get(node.input[0], ())
    axis = int(attributes(node).get("axis", 0))
    return shape[axis] if -len(shape) <= axis < len(shape) else None


def _is_each(places: Array, size: object) -> bool:
    """Return whether places `[1, size]` are all places in their order."""
    return isinstance(size, int) and places.shape == (1, size) and np.array_equal(places[0], np.arange(size))


def _unsqueezed(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """Turn a Gather of all places in their order, `[1, size]`, into an Unsqueeze."""
    axis = add_constant(model, f"{node.name}/axis", np.array([int(attributes(node).get("axis", 0))]))
    node.CopyFrom(helper.make_node("Unsqueeze", [node.input[0], axis], list(node.output), node.name))


def _join_reshapes(model: onnx.ModelProto) -> None:
    """Let a Reshape of a Reshape read what the first one read, if its shape copies no axis."""
    graph = Graph(model)
    for node in model.graph.node:
        before = graph.producer(node.input[0]) if node.op_type == "Reshape" else None
        shape = graph.constant(node.input[1]) if before is not None else None
        if before is not None and before.op_type == "Reshape" and (shape is None or np.all(shape != 0)):
            node.input[0] = before.input[0]
