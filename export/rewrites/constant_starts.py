"""Initial states that are constants: parameters, buffers and numbers that a module starts its layers from.

While a graph is translated, its layers start from zeros. At the end the constants become initializers, which the
contract names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.arrays import Array, Floats
from ...runtime.cells import CELLS, StateOperand
from ...runtime.contract import State
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.axes import sized_model
from ..graph.constants import fold_constants
from ..graph.editing import unused, value_names
from ..graph.recurrent_nodes import nonzero_source, operand, recurrent_nodes
from .arguments import StateKey, started_by

_STREAMS = (1, 3)  # a constant start is the same for each of several streams


def take_starts(model: onnx.ModelProto, source: str, free: Sequence[int]) -> dict[StateKey, Floats]:
    """Return the constants that recurrent nodes start from; the nodes start from zeros afterwards, in place.

    A start that is not the same for all streams, or not constant, stays in the graph: `checked_nodes` refuses it.

    Args:
        model: A translated model.
        source: Its signal input.
        free: The axes of the signal whose sizes may vary.

    Returns:
        The values of one stream, float32 `[units]`, for each state that does not start from zeros.

    Raises:
        UnsupportedError: A node with a backward direction does not start from zeros.
    """
    graph = Graph(model)
    given = started_by(model, [item.name for item in model.graph.input if item.name != source])
    nodes = [(node, slot) for node in recurrent_nodes(graph) for slot in CELLS[node.op_type].states]
    inner = [(node, slot) for node, slot in nodes if (node.name, slot.kind) not in given]
    odd = [(node, slot) for node, slot in inner if nonzero_source(graph, operand(node, slot.input)) is not None]
    sized = [_settled(model, source, free, streams) for streams in _STREAMS] if odd else []
    found = {}
    for node, slot in odd:
        _check_direction(node, slot)
        values = _of_each_stream([one.constant(operand(node, slot.input)) for one in sized])
        if values is not None:
            _start_from_zeros(model, node, slot)
            found[node.name, slot.kind] = values
    return found


def write_starts(
    model: onnx.ModelProto, states: Sequence[State], starts: Mapping[StateKey, Floats]
) -> tuple[State, ...]:
    """Append the constants of `take_starts` to a lifted model, in place; return its states, with their names."""
    started = started_by(model, [state.input for state in states])
    return tuple(
        _written(model, state, starts, [unit for unit, name in started.items() if name == state.input])
        for state in states
    )


def _settled(model: onnx.ModelProto, source: str, free: Sequence[int], size: int) -> Graph:
    """Return the graph at one size of the free axes, with all its constants computed."""
    sized, _ = sized_model(model, source, dict.fromkeys(free, size))
    fold_constants(sized)
    return Graph(sized)


def _of_each_stream(found: Sequence[Array | None]) -> Floats | None:
    """Return the values that each stream starts from; None if they are not constant or differ between streams."""
    rows = [values.reshape(-1, values.shape[-1]) for values in found if values is not None and values.size]
    if len(rows) < len(found) or any(
        not np.array_equal(part, np.broadcast_to(rows[0][0], part.shape)) for part in rows
    ):
        return None
    first: Floats = rows[0][0].astype(np.float32)
    return first


def _check_direction(node: onnx.NodeProto, slot: StateOperand) -> None:
    if attributes(node).get("direction", "forward") != "forward":
        raise UnsupportedError(
            f"{label(node)}: initial_{slot.kind} is not zeros, but its backward direction starts from zeros in each "
            "block; train it from zeros, or in one direction"
        )


def _start_from_zeros(model: onnx.ModelProto, node: onnx.NodeProto, slot: StateOperand) -> None:
    """Let a node start from zeros of the same size, in place."""
    taken = value_names(model)
    size, zeros = (unused(f"{node.name}/{slot.kind}_{what}", taken) for what in ("size", "zeros"))
    made = [
        helper.make_node("Shape", [node.input[slot.input]], [size], f"{size}/Shape"),
        helper.make_node("ConstantOfShape", [size], [zeros], f"{zeros}/ConstantOfShape"),
    ]
    place = list(model.graph.node).index(node)
    node.input[slot.input] = zeros
    for one in reversed(made):
        model.graph.node.insert(place, one)


def _written(
    model: onnx.ModelProto, state: State, starts: Mapping[StateKey, Floats], layers: Sequence[StateKey]
) -> State:
    """Append the initial values of a state, if it has any, and return it with their name."""
    if not any(layer in starts for layer in layers):
        return state
    zeros = np.zeros(state.concrete_shape()[-1], np.float32)
    shape = state.concrete_shape()
    values = np.stack([starts.get(layer, zeros) for layer in layers])
    values = np.broadcast_to(values.reshape(len(layers), *[1] * (len(shape) - 2), shape[-1]), shape).copy()
    name = unused(f"{state.input.removesuffix('_in')}_0", value_names(model))
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return replace(state, initial=name)
