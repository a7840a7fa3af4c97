"""Tails: the last frames of a chunk, which come before those of the next, in place of zeros."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from ...runtime.arrays import Array
from ...runtime.contract import State
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.axes import set_dims
from ..graph.editing import END, add_constant
from ..graph.recurrent_nodes import operand


def zeros_around(graph: Graph, pad: onnx.NodeProto) -> Array | None:
    """Return how many zeros a Pad puts at the ends of its axes; None if it pads in any other way."""
    sizes, value = graph.constant(operand(pad, 1)), graph.constant(operand(pad, 2))
    silent = not operand(pad, 2) or (value is not None and not np.any(value))
    known = sizes is not None and silent and not operand(pad, 3)
    return sizes if known and attributes(pad).get("mode", "constant") == "constant" else None


def tail_nodes(
    model: onnx.ModelProto, name: str, signal: str, joined: str, *, time: int, frames: int
) -> list[onnx.NodeProto]:
    """Return nodes that put the tail before the frames, and keep the last frames as the next tail.

    Args:
        model: The model, which gets the bounds of the Slice.
        name: The path of the module: the tail is `<name>.tail_in` and `<name>.tail_out`.
        signal: The frames of a chunk.
        joined: The name of the tail and the frames together.
        time: The axis of the frames.
        frames: The frames of the tail.
    """
    source, target = f"{name}.tail_in", f"{name}.tail_out"
    bounds = {"starts": -frames, "ends": END, "axes": time}
    limits = [add_constant(model, f"{target}.{key}", np.array([value], np.int64)) for key, value in bounds.items()]
    join = helper.make_node("Concat", [source, signal], [joined], f"{source}/Concat", axis=time)
    return [join, helper.make_node("Slice", [joined, *limits], [target], f"{target}/Slice")]


def tail_state(model: onnx.ModelProto, name: str, sizes: tuple[int | str, ...]) -> State:
    """Make a tail an input and an output of a model, float32, and return its state."""
    source, target = f"{name}.tail_in", f"{name}.tail_out"
    for value, items in ((source, model.graph.input), (target, model.graph.output)):
        items.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, None))
        set_dims(items[-1], sizes)
    return State(source, target, "tail", sizes)
