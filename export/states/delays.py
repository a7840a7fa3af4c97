"""Frames that come again later: zeros put before the first frame, and read as frames of earlier times.

`Pad` by k frames in front, then Slices of the padded frames, each as long as the signal: values of earlier frames.
The zeros are a state: the last k frames of the chunk before.
"""

import onnx

from ...runtime.contract import State
from ...runtime.graph.graph import Graph
from ..graph.axes import Axes, Dims
from ..graph.editing import set_nodes, unused, value_names
from ..graph.names import module_path
from .tails import tail_nodes, tail_state, zeros_around


def lift_delays(model: onnx.ModelProto, dims: dict[str, Dims], axes: Axes, batch: int | str) -> tuple[State, ...]:
    """Replace zeros before frames that are read again later by states, in place.

    Each gets `<module path>.tail_in` and `<module path>.tail_out`, float32, of the signal's shape with the frames of
    the tail.

    Args:
        model: A translated model.
        dims: The shapes of its values, as `axes.trace_dims` gives them.
        axes: The axes of its signal.
        batch: The number of streams, or the name of the free axis.

    Returns:
        The states, in file order.
    """
    graph, states = Graph(model), []
    for node in graph.nodes:
        frames = _frames(graph, node, dims, axes) if node.op_type == "Pad" else 0
        if frames:
            shape = axes.named(dims[node.input[0]])
            sizes = {"time": frames, "batch": batch}
            states.append(_lift(model, node, shape.index("time"), tuple(sizes.get(s, s) for s in shape)))  # type: ignore[arg-type, misc]
    return tuple(states)


def delayed_values(model: onnx.ModelProto, dims: dict[str, Dims], axes: Axes) -> list[str]:
    """Return the values that hold the frames of earlier times: what `lift_delays` lets a state carry."""
    graph = Graph(model)
    pads = [node for node in graph.nodes if node.op_type == "Pad" and _frames(graph, node, dims, axes)]
    return [reader.output[0] for pad in pads for reader in graph.consumers(pad.output[0])]


def _frames(graph: Graph, pad: onnx.NodeProto, dims: dict[str, Dims], axes: Axes) -> int:
    """Return how many frames of zeros a Pad puts before frames that are read again later; 0 if it is no delay."""
    pads, shape = zeros_around(graph, pad), dims.get(pad.input[0], ())
    if pads is None:
        return 0
    before = [0] * len(pads)
    named, readers = axes.named(shape), graph.consumers(pad.output[0])
    if "time" not in named or not readers or any(dims.get(node.output[0]) != shape for node in readers):
        return 0
    time = named.index("time")
    before[time] = max(int(pads[time]), 0)
    sliced = all(node.op_type == "Slice" for node in readers)
    return before[time] if sliced and list(pads) == before else 0


def _lift(model: onnx.ModelProto, pad: onnx.NodeProto, time: int, sizes: tuple[int | str, ...]) -> State:
    """Join the tail and the frames in place of a Pad, and keep the last frames as the next tail."""
    tails = {name.removesuffix(".tail_in") for name in value_names(model) if name.endswith(".tail_in")}
    name = unused(module_path(pad) or "delay", tails)
    carry = tail_nodes(model, name, pad.input[0], pad.output[0], time=time, frames=int(sizes[time]))
    set_nodes(model, [part for node in list(model.graph.node) for part in (carry if node.name == pad.name else [node])])
    return tail_state(model, name, sizes)
