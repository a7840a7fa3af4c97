"""Masks in a step: a masked frame keeps the state. A mask that lets every frame through is no mask."""

import numpy as np
import onnx
from onnx import numpy_helper

from ....runtime.errors import UnsupportedError
from ....runtime.graph.graph import Graph
from ....runtime.graph.nodes import label
from ...graph.axes import shape_of
from ...graph.constants import fold_constants
from ...graph.editing import drop_identities
from ...graph.recurrent_nodes import MOVES
from .step import Frames, Step

_WAY_OUT = (
    "a stream has no padding: export the model without it (in Keras without Masking, mask_zero and mask) and push only "
    "the frames that count"
)


def open_masks(model: onnx.ModelProto, step: Step, inner: onnx.ModelProto) -> None:
    """Replace each Where whose condition is the same for all frames by the value that it takes, in place.

    Args:
        model: The outer graph.
        step: The step.
        inner: The step as a model of its own.

    Raises:
        UnsupportedError: A frame may be masked.
    """
    for frames in step.frames:
        _settle(model, frames, inner)
    fold_constants(inner)
    graph, carried = Graph(inner), {each.next for each in step.carried}
    for node in [node for node in inner.graph.node if node.op_type == "Where"]:
        condition = graph.constant(node.input[0])
        if condition is not None and (condition.all() or not condition.any()):
            taken = node.input[1 if condition.all() else 2]
            node.CopyFrom(onnx.helper.make_node("Identity", [taken], node.output, node.name))
        elif carried.intersection(node.output):
            mask = _source(graph, step, node.input[0])
            raise UnsupportedError(
                f"{step.label}: {label(node)} keeps a state for the frames that {mask!r} masks, wanted no mask; "
                f"{_WAY_OUT}; or set it, if it masks no frame: --set {_moved_from(Graph(model), mask)}=1"
            )
    drop_identities(inner)


def _settle(model: onnx.ModelProto, frames: Frames, inner: onnx.ModelProto) -> None:
    """Make the frames of a constant that has one value everywhere a constant of the step, in place."""
    graph = Graph(model)
    value = graph.constant(_moved_from(graph, frames.outer))
    if value is None or not value.size or not (value == value.flat[0]).all():
        return
    item = next(item for item in inner.graph.input if item.name == frames.inside)
    inner.graph.input.remove(item)
    one = np.full([1] * len(shape_of(item)), value.flat[0])
    inner.graph.initializer.append(numpy_helper.from_array(one, frames.inside))


def _moved_from(graph: Graph, name: str) -> str:
    """Return the value of which a value only moves or repeats entries."""
    while (node := graph.producer(name)) is not None and node.op_type in MOVES:
        name = node.input[0]
    return name


def _source(graph: Graph, step: Step, name: str) -> str:
    """Return the sequence of the outer graph that a mask is a frame of, or the value itself."""
    outer = {frames.inside: frames.outer for frames in step.frames}
    while name not in outer and (node := graph.producer(name)) is not None:
        name = next((read for read in node.input if graph.constant(read) is None), "")
    return outer.get(name, name)
