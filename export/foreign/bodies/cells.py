"""The cells in a step: carried values that depend on each other are the states of a recurrent node of one frame."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ....runtime.cells import CELLS
from ....runtime.errors import UnsupportedError
from ....runtime.graph.graph import Graph
from ...graph.editing import remove_dead, sort_nodes, unused
from ...graph.recurrent_nodes import MOVES
from ...written_cells.recognizer import WrittenCell, recognize

Shapes = Mapping[str, tuple[int, ...]]

_LINEAR = MOVES | {"Add", "Concat", "Sub"}
_PRODUCTS = ("Gemm", "MatMul")


def write_cells(model: onnx.ModelProto, states: Mapping[str, str], shapes: Shapes, name: str) -> list[str]:
    """Replace the small operators that make the next states by recurrent nodes of one frame, in place.

    Args:
        model: A model of one step.
        states: For each carried value the name of the next.
        shapes: The shapes of the model's values for one stream.
        name: A name for the new nodes, if the names of their nodes have no path in common.

    Returns:
        The operators of the new nodes, in the order in which they run.

    Raises:
        UnsupportedError: The next states are those of no LSTM, GRU or RNN, or of an LSTM with projection.
    """
    made = []
    for names in _groups(Graph(model), states):
        own = {name: states[name] for name in names}
        parts = _Parts.of(Graph(model), own)
        if any(node.op_type in CELLS for node in parts.nodes):
            continue  # a recurrent node already
        cell, signals = _recognized(parts, own, shapes)
        if cell.projection is not None:
            raise UnsupportedError("it is an LSTM with projection, wanted none")
        _check_axes(cell, [*signals, *own], shapes)
        _write(model, own, signals, cell, parts.scope or name)
        made.append(cell.operator)
    return made


def _groups(graph: Graph, states: Mapping[str, str]) -> list[list[str]]:
    """Return the states that depend on each other, a group that others read first."""
    cones = {name: _cone(graph, [following]) for name, following in states.items()}
    needs = {name: {other for other in states if other in cone} for name, cone in cones.items()}
    groups: list[list[str]] = []
    for name in states:
        group = [other for other in states if other == name or (other in needs[name] and name in needs[other])]
        if group not in groups:
            groups.append(group)
    return sorted(groups, key=lambda group: len(needs[group[0]]))


def _cone(graph: Graph, names: Sequence[str]) -> set[str]:
    """Return the values that some values are made of, and these values."""
    waiting, seen = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name and name not in seen:
            seen.add(name)
            node = graph.producer(name)
            waiting.extend(node.input if node is not None else ())
    return seen


@dataclass(frozen=True)
class _Parts:
    """The nodes that make the next values of some states, as far as they depend on these states.

    Attributes:
        graph: The graph of the step.
        nodes: The nodes.
        reads: The values that they read, apart from constants, the states and each other's.
    """

    graph: Graph
    nodes: list[onnx.NodeProto]
    reads: list[str]

    @property
    def scope(self) -> str:
        """The path that the names of all nodes begin with; empty if they share none."""
        return commonprefix([node.name for node in self.nodes]).rpartition("/")[0]  # noqa: RUF071  names, not paths

    @classmethod
    def of(cls, graph: Graph, states: Mapping[str, str]) -> "_Parts":
        """Find the nodes between states and their next values."""
        following, needed = set(states), _cone(graph, list(states.values()))
        nodes = []
        for node in graph.nodes:
            if following.intersection(node.input) and needed.intersection(node.output):
                following.update(node.output)
                nodes.append(node)
        outside = dict.fromkeys(name for node in nodes for name in node.input if name not in following)
        return cls(graph, nodes, [name for name in outside if name and graph.constant(name) is None])


def _recognized(parts: _Parts, states: Mapping[str, str], shapes: Shapes) -> tuple[WrittenCell, list[str]]:
    """Return the cell that some nodes are, and the signals that it reads.

    A cell's own product with its signal may be outside of the nodes that depend on a state. So the signals are first
    looked for on the other side of one product; only if this is no cell, they are the values that the nodes read.
    """
    beyond = list(dict.fromkeys(name for read in parts.reads for name in _before(parts.graph, read, products=1)))
    try:
        return _recognize(parts.graph, beyond, states, shapes), beyond
    except UnsupportedError:
        return _recognize(parts.graph, parts.reads, states, shapes), parts.reads


def _before(graph: Graph, name: str, *, products: int) -> Iterator[str]:
    """Yield the values that a value is a linear function of, through a number of products with weights."""
    node = graph.producer(name)
    product = node is not None and node.op_type in _PRODUCTS
    if node is None or not (node.op_type in _LINEAR or (product and products)):
        yield name
        return
    for read in node.input:
        if read and graph.constant(read) is None:
            yield from _before(graph, read, products=products - product)


def _recognize(graph: Graph, signals: Sequence[str], states: Mapping[str, str], shapes: Shapes) -> WrittenCell:
    known = {name: shapes[name] for name in (*signals, *states) if name in shapes}
    for name in (*signals, *states):
        if name not in known:
            raise UnsupportedError(f"the shape of {name!r} is not known, wanted a known one")
    return recognize(graph, known, states)


def _check_axes(cell: WrittenCell, names: Sequence[str], shapes: Shapes) -> None:
    for name in names:
        if len(shapes[name]) != 2:
            raise UnsupportedError(
                f"the {cell.operator} reads {name!r} of shape {list(shapes[name])}, wanted [batch, values]"
            )


def _write(
    model: onnx.ModelProto, states: Mapping[str, str], signals: Sequence[str], cell: WrittenCell, scope: str
) -> None:
    """Replace the nodes of a cell by a recurrent node of one frame, in place."""
    name = unused(f"{scope}/{cell.operator}", {node.name for node in model.graph.node})
    for node in model.graph.node:
        node.output[:] = [f"{name}/was_{made}" if made in states.values() else made for made in node.output]
    weights = {key: f"/{name.strip('/')}/{key}" for key in cell.weights}
    model.graph.initializer.extend(numpy_helper.from_array(cell.weights[key], weights[key]) for key in weights)
    axis, joined = f"{name}/axis", signals[0] if len(signals) == 1 else f"{name}/signals"
    model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), axis))
    kinds = dict(zip("hc", cell.states, strict=False))
    reads = [f"{name}/x", *(weights.get(key, "") for key in "WRB"), "", *(f"{name}/{kind}" for kind in kinds)]
    nodes = [helper.make_node("Concat", signals, [joined], joined, axis=-1)] if len(signals) > 1 else []
    for before, after in ((joined, reads[0]), *zip(cell.states, reads[5:], strict=True)):
        nodes.append(helper.make_node("Unsqueeze", [before, axis], [after], after))
    reads += [weights["P"]] if "P" in weights else []
    finals = [f"{name}/next_{kind}" for kind in kinds]
    nodes.append(helper.make_node(cell.operator, reads, ["", *finals], name, **cell.attributes))
    for before, state in zip(finals, cell.states, strict=True):
        nodes.append(helper.make_node("Squeeze", [before, axis], [states[state]], f"{before}/Squeeze"))
    model.graph.node.extend(nodes)
    sort_nodes(model)
    remove_dead(model)
