"""A bidirectional layer as two nodes: the forward one carries its state, the backward one restarts in each block."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.cells import STANDARD
from ...runtime.errors import UnsupportedError
from ...runtime.graph.cell_options import cell_options, option_attributes
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.editing import remove_dead, set_nodes, unused, value_names
from ..graph.recurrent_nodes import operand, start_from_nothing
from .arguments import started_by

REVERSE = "_reverse"  # ends the names of backward nodes and weights, as in PyTorch
_DIRECTIONS = ("forward", "reverse")
_FEATURES_LAST = (0, 2, 1, 3)  # from [time, directions, batch, hidden]
_WEIGHTS = (1, 2, 3, 7)  # W, R, B and P: their first axis counts directions
_AXIS = "direction_axis"  # an initializer: the axis of directions in Y


def split_directions(model: onnx.ModelProto, starts: Collection[tuple[str, str]] = ()) -> None:
    """Replace each bidirectional node by a forward and a backward node, in place; backward nodes start from zeros.

    If the file joins both answers along the features, this is done by one Concat. A single final state is read from
    the node that makes it, so that it does not wait for a state that nobody reads. Backward nodes name their Y.

    Args:
        model: The model.
        starts: States that start from arguments of the forward, or from inputs of a file: names of nodes and kinds.

    Raises:
        UnsupportedError: A bidirectional node has weights that are not constant, or a node with a backward direction
            starts from an argument.
    """
    graph = Graph(model)
    backward = [node for node in graph.nodes if attributes(node).get("direction") in ("bidirectional", "reverse")]
    for node in backward:
        if any(name == node.name for name, _ in starts):
            raise UnsupportedError(
                f"{label(node)}: its initial state comes from an argument, but its backward direction restarts in "
                "each block; call the module without an initial state"
            )
    if not backward:
        return
    reason = "its backward direction starts from zeros in each block; call the module without an initial state"
    for node in backward:
        start_from_nothing(graph, node, reason)
    _name_answers(model, backward)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes += _both(model, graph, node) if attributes(node).get("direction") == "bidirectional" else [node]
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), _AXIS))
    set_nodes(model, nodes)
    for rule in (_joined_features, _taken_final_state, _waiting_finals):
        _rewritten(model, rule)
    remove_dead(model)


def refuse_state_inputs(model: onnx.ModelProto) -> None:
    """Refuse a file whose inputs start a backward direction.

    Raises:
        UnsupportedError: It is such a file; the message says how to start from zeros.
    """
    started = started_by(model, [item.name for item in model.graph.input])
    for node in model.graph.node:
        names = [name for (own, _), name in started.items() if own == node.name]
        if names and attributes(node).get("direction", "forward") != "forward":
            raise UnsupportedError(
                f"{label(node)}: its initial state comes from {' and '.join(map(repr, names))}, but its backward "
                f"direction starts from zeros in each block; set {'--set ' + ' --set '.join(f'{n}=0' for n in names)}"
            )


def _name_answers(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Name the Y of nodes that give only final states, in place: the frames of Y say when these states come."""
    taken = value_names(model)
    for node in nodes:
        if not node.output[0]:
            node.output[0] = unused(f"{node.name}/Y", taken)
            taken.add(node.output[0])


def _both(model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return a node for each direction, and Concat nodes that join their outputs as the bidirectional node did."""
    made = [_one(model, graph, node, direction) for direction in range(2)]
    joined = [
        helper.make_node(
            "Concat", [one.output[i] for one in made], [name], name=f"{name}/Concat", axis=1 if i == 0 else 0
        )
        for i, name in enumerate(node.output)
        if name
    ]
    return [*made, *joined]


def _one(model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto, direction: int) -> onnx.NodeProto:
    """Return one direction of a bidirectional node."""
    which, inputs = _DIRECTIONS[direction], list(node.input)
    for position in _WEIGHTS:
        old = operand(node, position)
        if old:
            weights = graph.constant(old)
            if weights is None:
                raise UnsupportedError(f"{label(node)}: its weight {old!r} is not constant, wanted a constant")
            inputs[position] = f"{node.name}/{old}/{which}"
            part = weights[direction : direction + 1]
            model.graph.initializer.append(numpy_helper.from_array(part, inputs[position]))
    outputs = [f"{name}/{which}" if name else "" for name in node.output]
    given = attributes(node)
    options: dict[str, Any] = {key: given[key] for key in ("hidden_size",) if key in given}
    options |= option_attributes(STANDARD[node.op_type], cell_options(node, direction))
    name = node.name + (REVERSE if direction else "")
    return helper.make_node(node.op_type, inputs, outputs, name=name, direction=which, **options)


def _rewritten(model: onnx.ModelProto, rule: Callable[[Graph, onnx.NodeProto], list[onnx.NodeProto] | None]) -> None:
    graph = Graph(model)
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        made = rule(graph, node)
        nodes += [node] if made is None else made
    set_nodes(model, nodes)


def _joined_features(graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    """Join both answers along the features by one Concat, if the file does it by Transpose and Reshape."""
    moved = graph.producer(node.input[0]) if node.op_type == "Reshape" else None
    if moved is None or moved.op_type != "Transpose" or tuple(attributes(moved)["perm"]) != _FEATURES_LAST:
        return None
    joined, shape = graph.producer(moved.input[0]), graph.constant(node.input[1])
    if joined is None or not _joins_directions(graph, joined) or shape is None or len(shape) != 3 or shape[-1] == 0:
        return None
    answer = node.output[0]
    parts = [f"{answer}/{which}" for which in _DIRECTIONS]
    squeezed = [
        helper.make_node("Squeeze", [y, _AXIS], [part], name=f"{part}/Squeeze")
        for y, part in zip(joined.input, parts, strict=True)
    ]
    return [*squeezed, helper.make_node("Concat", parts, [answer], name=f"{answer}/Concat", axis=2)]


def _joins_directions(graph: Graph, node: onnx.NodeProto) -> bool:
    parts = [graph.producer(name) for name in node.input]
    seen = [attributes(part).get("direction") for part in parts if part is not None]
    return node.op_type == "Concat" and attributes(node)["axis"] == 1 and seen == list(_DIRECTIONS)


def _taken_final_state(graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    """Read a single final state directly from the node that makes it."""
    if node.op_type != "Gather" or attributes(node).get("axis", 0) != 0:
        return None
    index, rows = graph.constant(operand(node, 1)), _joined_finals(graph, node.input[0])
    if index is None or index.ndim or rows is None or not -len(rows) <= int(index) < len(rows):
        return None
    name, row = node.output[0], rows[int(index)]
    maker = graph.producer(row)
    zero, last = (
        helper.make_node("Constant", [], [f"{name}/{i}"], name=f"{name}/Constant{i}", value_int=i) for i in (0, -1)
    )
    made = [zero, last, helper.make_node("Gather", [row, zero.output[0]], [name], name=node.name, axis=0)]
    if maker is not None and attributes(maker)["direction"] == "forward" and row == maker.output[1] and maker.output[0]:
        # h of the last frame is the last answer; unlike the final state, it can wait for the other direction.
        frame = helper.make_node(
            "Gather", [maker.output[0], last.output[0]], [f"{name}/frame"], name=f"{name}/Gather", axis=0
        )
        made[2].input[0] = frame.output[0]
        made.insert(2, frame)
    return made


def _joined_finals(graph: Graph, name: str) -> list[str] | None:
    """Return the single final states that a value joins along axis 0; None if it holds anything else."""
    node = graph.producer(name)
    if node is None:
        return None
    if attributes(node).get("direction") in _DIRECTIONS and name in node.output[1:]:
        return [name]
    if node.op_type != "Concat" or attributes(node)["axis"] != 0:
        return None
    parts = [_joined_finals(graph, part) for part in node.input]
    return None if None in parts else [row for part in parts for row in part or ()]


def _waiting_finals(graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    """Join the final h of a backward node with the last answers of forward nodes, which can wait."""
    if node.op_type != "Concat" or attributes(node)["axis"] != 0:
        return None
    makers = [graph.producer(name) for name in node.input]
    seen = [None if maker is None else attributes(maker).get("direction") for maker in makers]
    if "reverse" not in seen or "forward" not in seen:
        return None
    joined = onnx.NodeProto()
    joined.CopyFrom(node)
    made = [joined]
    for i, maker in enumerate(makers):
        if maker is None or seen[i] != "forward" or node.input[i] != maker.output[1]:
            continue
        joined.input[i] = f"{node.output[0]}/last{i}"
        index = helper.make_node(
            "Constant", [], [f"{joined.input[i]}/index"], f"{joined.input[i]}/Constant", value_int=-1
        )
        last = helper.make_node(
            "Gather", [maker.output[0], index.output[0]], [joined.input[i]], f"{joined.input[i]}/Gather", axis=0
        )
        made[:0] = [index, last]
    return made
