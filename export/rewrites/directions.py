"""A bidirectional layer as two nodes: the forward one carries its state, the backward one restarts in each block."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.cells import STANDARD
from ...runtime.errors import UnsupportedError
from ...runtime.graph.cell_options import PEEPHOLES, cell_options, option_attributes
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.editing import remove_dead
from ..graph.recurrent_nodes import operand

REVERSE = "_reverse"  # ends the names of backward nodes and weights, as in PyTorch
_DIRECTIONS = ("forward", "reverse")
_FEATURES_LAST = (0, 2, 1, 3)  # from [time, directions, batch, hidden]
_AXIS = "direction_axis"  # an initializer: the axis of directions in Y


def split_directions(model: onnx.ModelProto, starts: Collection[tuple[str, str]] = ()) -> None:
    """Replace each bidirectional node by a forward and a backward node, in place; both start from zeros.

    If the file joins both answers along the features, this is done by one Concat. A single final state is read from
    the node that makes it, so that it does not wait for a state that nobody reads.

    Args:
        model: The model.
        starts: States that start from arguments of the forward: names of nodes and kinds.

    Raises:
        UnsupportedError: A bidirectional node has weights that are not constant, or starts from an argument.
    """
    graph = Graph(model)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        both = attributes(node).get("direction") == "bidirectional"
        if both and any(name == node.name for name, _ in starts):
            raise UnsupportedError(
                f"{label(node)}: its initial state comes from an argument, but its backward direction restarts in "
                "each block; call the module without an initial state"
            )
        nodes += _both(model, graph, node) if both else [node]
    if len(nodes) == len(model.graph.node):
        return
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), _AXIS))
    _replace_nodes(model, nodes)
    _join_features(model)
    _take_final_states(model)
    remove_dead(model)


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
    which, given = _DIRECTIONS[direction], attributes(node)
    peepholes = ["", "", "", operand(node, PEEPHOLES)] if operand(node, PEEPHOLES) else []
    whole = [*node.input[1:4], *peepholes]
    names = [f"{name}/{which}" if name else "" for name in whole]
    for old, new in zip(whole, names, strict=True):
        if old:
            weights = graph.constant(old)
            if weights is None:
                raise UnsupportedError(f"{label(node)}: its weight {old!r} is not constant, wanted a constant")
            model.graph.initializer.append(numpy_helper.from_array(weights[direction : direction + 1], new))
    outputs = [f"{name}/{which}" if name else "" for name in node.output]
    options: dict[str, Any] = {key: given[key] for key in ("hidden_size",) if key in given}
    options |= option_attributes(STANDARD[node.op_type], cell_options(node, direction))
    name = node.name + (REVERSE if direction else "")
    return helper.make_node(node.op_type, [node.input[0], *names], outputs, name=name, direction=which, **options)


def _replace_nodes(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> None:
    kept = list(nodes)
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _rewritten(model: onnx.ModelProto, rule: Callable[[Graph, onnx.NodeProto], list[onnx.NodeProto] | None]) -> None:
    graph = Graph(model)
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        made = rule(graph, node)
        nodes += [node] if made is None else made
    _replace_nodes(model, nodes)


def _join_features(model: onnx.ModelProto) -> None:
    """Join both answers along the features by one Concat, if the file does it by Transpose and Reshape."""
    _rewritten(model, _joined_features)


def _joined_features(graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
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


def _take_final_states(model: onnx.ModelProto) -> None:
    """Read single final states directly from the nodes that make them."""
    _rewritten(model, _taken_final_state)


def _taken_final_state(graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
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
