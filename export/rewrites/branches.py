"""Branches of a graph that are known before it streams: If nodes that depend on constants only.

Silero VAD has an If on the sample rate at its top, and inside it Ifs on the rank of its own values. An If is opened if
its condition follows from constants and from sizes that no chunk changes. Any other If is refused by name.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from os.path import commonprefix

import numpy as np
import onnx
from onnx import helper

from ...runtime.arrays import Array
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.axes import settled_values, sized_model
from ..graph.constants import fold_constants
from ..graph.editing import drop_identities, reads, remove_dead, rename_all, set_nodes, unused, value_names

MAX_OPENED = 64  # Ifs; Silero VAD has 6

Conditions = Callable[[onnx.ModelProto, Sequence[str]], Mapping[str, Array]]
"""Returns those of the named values of a model that do not depend on the sizes of a chunk."""


def open_branches(model: onnx.ModelProto, conditions: Conditions) -> list[str]:
    """Replace each If by the branch that it takes, in place.

    Args:
        model: A model that passed the gate (runtime.graph.gate), which limits how deep its graphs are nested.
        conditions: Returns the values of conditions that depend only on fixed sizes.

    Returns:
        The Ifs by name, in the order in which they were opened.

    Raises:
        UnsupportedError: A condition depends on the signal or a state, or there are more than MAX_OPENED.
    """
    opened: list[str] = []
    while nodes := [node for node in model.graph.node if node.op_type == "If"]:
        if len(opened) == MAX_OPENED:
            raise UnsupportedError(f"{label(nodes[0])}: {MAX_OPENED} Ifs were opened, wanted no more")
        fold_constants(model)
        node, taken = _settled(model, nodes, conditions)
        opened.append(label(node))
        _inline(model, node, taken)
    if opened:
        remove_dead(model)
        drop_identities(model)
    return opened


def open_squeezes(model: onnx.ModelProto, source: str, free: Sequence[int]) -> None:
    """Open the Ifs that torch writes to squeeze an axis of unknown size, if the condition is known, in place.

    Args:
        model: A translated model.
        source: Its signal input.
        free: The axes of the signal whose sizes may vary.
    """

    def settled(part: onnx.ModelProto, names: Sequence[str]) -> dict[str, Array]:
        alone = Graph(sized_model(part, source, dict.fromkeys(free, 1))[0])  # one stream, one frame
        known = settled_values(part, source, free, names)
        ones = {name: alone.constant(name) for name in known}
        return {name: v for name, v in known.items() if (one := ones[name]) is not None and np.array_equal(v, one)}

    with suppress(UnsupportedError):  # an If on batch or time stays; the shape of the output shows it later
        open_branches(model, settled)


def _settled(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], conditions: Conditions
) -> tuple[onnx.NodeProto, bool]:
    """Return an If whose condition is known, and the value of its condition."""
    graph = Graph(model)
    for node in nodes:
        value = graph.constant(node.input[0])
        if value is not None:
            return node, bool(value.item())
    known = conditions(model, [node.input[0] for node in nodes])
    for node in nodes:
        if node.input[0] in known:
            return node, bool(known[node.input[0]].item())
    inputs = _inputs_of(graph, nodes[0].input[0]) or ["chance"]
    raise UnsupportedError(
        f"{label(nodes[0])}: its condition {nodes[0].input[0]!r} depends on {', '.join(map(repr, inputs))}, wanted one "
        f"that follows from constants; if {inputs[-1]!r} is an option, as a sample rate is, set it (--set "
        f"{inputs[-1]}=VALUE), else export the model without the condition"
    )


def _inputs_of(graph: Graph, name: str) -> list[str]:
    """Return the inputs of the graph that a value depends on."""
    waiting, seen = [name], set[str]()
    while waiting:
        seen.add(name := waiting.pop())
        node = graph.producer(name)
        waiting += [] if node is None else [read for read in reads(node) if read not in seen]
    return [item.name for item in graph.model.graph.input if item.name in seen]


def _inline(model: onnx.ModelProto, node: onnx.NodeProto, taken: bool) -> None:
    """Replace an If by one of its branches, in place."""
    branch = onnx.GraphProto()
    branch.CopyFrom(attributes(node)["then_branch" if taken else "else_branch"])
    if len(branch.output) < len(node.output):
        raise UnsupportedError(f"{label(node)}: its branch has {len(branch.output)} outputs, wanted {len(node.output)}")
    _name_apart(branch, value_names(model))
    links = [
        helper.make_node("Identity", [inside.name], [outside])
        for inside, outside in zip(branch.output, node.output, strict=False)
        if outside
    ]
    place = list(model.graph.node).index(node)
    nodes = [*model.graph.node[:place], *branch.node, *links, *model.graph.node[place + 1 :]]
    set_nodes(model, nodes)
    model.graph.initializer.extend(branch.initializer)


def _name_apart(branch: onnx.GraphProto, taken: set[str]) -> None:
    """Remove the prefix that all names of a branch share, and rename values whose name is taken in the graph around.

    Values in two Ifs may have the same name, because each branch is a scope of its own.
    """
    alone = onnx.ModelProto(graph=branch)
    own = [name for node in branch.node for name in node.output if name]
    own += [tensor.name for tensor in branch.initializer]
    prefix = commonprefix(own)  # noqa: RUF071  names, not paths
    prefix = prefix[: prefix.rfind("__") + 2] if "__" in prefix else ""
    names: dict[str, str] = {}
    known = taken | value_names(alone)
    for name in own:
        short = name.removeprefix(prefix) or name
        if short != name or name in taken:
            names[name] = unused(short if short not in known else f"{short}/{branch.name}", known)
            known.add(names[name])
    rename_all(alone, names)
    for node in alone.graph.node:
        node.name = node.name.removeprefix(prefix)
    branch.CopyFrom(alone.graph)
