"""Nodes of foreign files in another form than usual: layers with batch first or lengths, Reshapes with `allowzero`."""

import numpy as np
import onnx
from onnx import helper

from ...runtime.cells import STANDARD
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.axes import shape_of, sized_model
from ..graph.constants import fold_constants
from ..graph.editing import copied, input_named, set_nodes, unused, value_names
from ..graph.recurrent_nodes import SEQUENCE_LENS, operand, signal_of

_SWAPPED = [1, 0, 2]  # [batch, time, features] and [time, batch, features]; of states [batch, directions, hidden]
_BATCH_FIRST = [2, 0, 1, 3]  # from Y [time, directions, batch, hidden] to [batch, time, directions, hidden]
_LENGTHS = (5, 7)  # frames of two signals: lengths that follow both are those of whole signals


def put_time_first(model: onnx.ModelProto) -> list[str]:
    """Give recurrent nodes with layout 1 the layout 0, with Transposes around them, in place; return their operators.

    onnxruntime has no layout 1.
    """
    found, nodes = [], list[onnx.NodeProto]()
    taken = value_names(model)
    for node in model.graph.node:
        if node.op_type in STANDARD and attributes(node).get("layout", 0) == 1:
            found.append(node.op_type)
            nodes += _time_first(node, taken)
        else:
            nodes.append(node)
    set_nodes(model, nodes)
    return found


def forbid_empty(model: onnx.ModelProto) -> None:
    """Drop `allowzero` from each Reshape to sizes above 0, in place: there a 0 may stand for a size that is kept.

    torch's dynamo exporter writes it everywhere.
    """
    graph = Graph(model)
    for node in model.graph.node:
        target = graph.constant(operand(node, 1)) if node.op_type == "Reshape" else None
        if target is not None and np.all(target):
            kept = [attribute for attribute in node.attribute if attribute.name != "allowzero"]
            del node.attribute[:]
            node.attribute.extend(kept)


def _time_first(node: onnx.NodeProto, taken: set[str]) -> list[onnx.NodeProto]:
    """Return a node with layout 0 and the Transposes before and after it."""
    made = copied(node, node.input, node.output, ["layout"])
    before, after = [], []
    kind = STANDARD[node.op_type]
    for position in (kind.signal, *(state.input for state in kind.states)):
        if operand(node, position):
            made.input[position] = _unused(f"{node.input[position]}/time_first", taken)
            before.append(_transpose(node.input[position], made.input[position], _SWAPPED))
    for position, name in enumerate(node.output):
        if name:
            made.output[position] = _unused(f"{name}/time_first", taken)
            after.append(_transpose(made.output[position], name, _SWAPPED if position else _BATCH_FIRST))
    return [*before, made, *after]


def _unused(name: str, taken: set[str]) -> str:
    found = unused(name, taken)
    taken.add(found)
    return found


def _transpose(source: str, target: str, order: list[int]) -> onnx.NodeProto:
    return helper.make_node("Transpose", [source], [target], f"{target}/Transpose", perm=order)


def drop_lengths(model: onnx.ModelProto, source: str) -> list[str]:
    """Drop the lengths of sequences from recurrent nodes if they are those of the whole signal, in place.

    Other lengths stay: `checked_nodes` refuses them.

    Args:
        model: A model; its recurrent nodes have layout 0.
        source: Its signal input. Sizes that it fixes are those of the whole signal.

    Returns:
        The lengths that were dropped, by the names of their values.
    """
    nodes = [node for node in model.graph.node if node.op_type in STANDARD and operand(node, SEQUENCE_LENS)]
    if not nodes:
        return []
    item = input_named(model, source)
    free = [axis for axis, size in enumerate(shape_of(item)) if not isinstance(size, int)]
    sized = [sized_model(model, source, dict.fromkeys(free, frames)) for frames in _LENGTHS]
    for one, _ in sized:
        fold_constants(one)
    found = []
    for node in nodes:
        lengths = [Graph(one).constant(node.input[SEQUENCE_LENS]) for one, _ in sized]
        frames = [shapes.get(signal_of(node), (None,))[0] for _, shapes in sized]
        if all(seen is not None and np.all(seen == own) for seen, own in zip(lengths, frames, strict=True)):
            found.append(node.input[SEQUENCE_LENS])
            node.input[SEQUENCE_LENS] = ""
    return found
