"""Steps written out in a graph: each becomes a marker; without a loop, a marker becomes a node that takes one frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ..graph.axes import Dims, shape_text
from ..graph.editing import set_nodes, sort_nodes, unused, value_names
from ..graph.markers import DOMAIN, PROJECTED, WRITTEN_STEP
from ..written_cells.recognizer import WrittenCell
from .loop_cells import Chain, find_chains
from .loops import recurrent_node

_STREAMS = "batch"


@dataclass(frozen=True)
class Call:
    """One step of a cell in a graph.

    Attributes:
        signals: The values of the signal, joined in this order.
        starts: The states that it starts from, h first; an empty name for zeros.
        nexts: Their next values.
    """

    signals: Sequence[str]
    starts: Sequence[str]
    nexts: Sequence[str]


def mark_steps(
    model: onnx.ModelProto, cell: WrittenCell, calls: Sequence[Call], dims: Mapping[str, Dims], path: str = ""
) -> None:
    """Let markers of a cell compute the next states of its steps, in place; the old nodes are dead afterwards.

    Args:
        model: The model.
        cell: What the steps compute.
        calls: The steps, in their order.
        dims: The shapes of their signals and states; the axis of streams has a name or is that before the last.
        path: The path of the cell's module, which begins the names of nodes and weights.

    Raises:
        UnsupportedError: A signal or state has values along several axes.
    """
    taken = value_names(model) | {node.name for node in model.graph.node}
    name = unused(f"{path or '/' + cell.operator.lower()}/{cell.operator}", taken)
    own = cell.weights if cell.projection is None else cell.in_scan()
    weights = {key: f"{name}/{key}" for key in own}
    model.graph.initializer.extend(numpy_helper.from_array(own[key], one) for key, one in weights.items())
    for i, call in enumerate(calls):
        _Marking(model, dims, f"{name}_{i}" if i else name).mark(cell, call, list(weights.values()))
    if all(opset.domain != DOMAIN for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    sort_nodes(model)


def name_streams(one: Mapping[str, Dims], more: Mapping[str, Dims]) -> dict[str, Dims]:
    """Return the shapes of values in which the axis that counts streams has a name.

    Args:
        one: Their shapes for a number of streams.
        more: Their shapes for one stream more.
    """
    return {name: _named(dims, more.get(name, dims)) for name, dims in one.items()}


def _named(one: Dims, more: Dims) -> Dims:
    if len(one) != len(more):
        return one
    pairs = zip(one, more, strict=True)
    return tuple(_STREAMS if isinstance(a, int) and isinstance(b, int) and b == a + 1 else a for a, b in pairs)


def for_one_stream(dims: Mapping[str, Dims]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of values for one stream; values with an unknown size are left out."""
    sizes = {name: [1 if size == _STREAMS else size for size in one] for name, one in dims.items()}
    return {name: tuple(s for s in one if isinstance(s, int)) for name, one in sizes.items() if None not in one}


class _Marking:
    """One marker in the making; names of new values begin with its own."""

    def __init__(self, model: onnx.ModelProto, dims: Mapping[str, Dims], name: str) -> None:
        self._model, self._dims, self._name = model, dims, name

    def mark(self, cell: WrittenCell, call: Call, weights: list[str]) -> None:
        """Append the marker, and let it make the next states."""
        parts = [self._flat(signal) for signal in call.signals]
        x = parts[0] if len(parts) == 1 else self._add("Concat", parts, f"{self._name}/signal", axis=1)
        starts = [
            self._flat(state) if state else self._zeros(cell, kind)
            for kind, state in zip("hc", call.starts, strict=False)
        ]
        made = [f"{self._name}/{kind}_n" for kind, _ in zip("hc", starts, strict=False)]
        given = cell.attributes | ({} if cell.projection is None else {PROJECTED: len(cell.projection)})
        for name, flat in zip(call.nexts, made, strict=True):
            self._replace(name, flat)
        marker = helper.make_node(WRITTEN_STEP.rpartition(":")[2], [x, *starts, *weights], made, self._name,
                                  domain=DOMAIN, operator=cell.operator, **given)  # fmt: skip
        self._model.graph.node.append(marker)

    def _flat(self, name: str) -> str:
        """Return the name of a value as [streams, values]."""
        axes, flat = self._dropped(name), f"{self._name}/flat/{name}"
        if len(self._dims[name]) == 1:
            return self._add("Unsqueeze", [name, self._axes([0])], flat)
        return self._add("Squeeze", [name, self._axes(axes)], flat) if axes else name

    def _zeros(self, cell: WrittenCell, kind: str) -> str:
        """Return the name of a state of zeros for one stream."""
        projected = kind == "h" and cell.projection is not None
        name = f"{self._name}/zeros{'_projected' if projected else ''}"
        size = len(cell.projection) if cell.projection is not None and projected else cell.attributes["hidden_size"]
        values = np.zeros((1, size), np.float32)
        if all(tensor.name != name for tensor in self._model.graph.initializer):
            self._model.graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def _replace(self, name: str, flat: str) -> None:
        """Let a value be made from [streams, values], and not by its old node."""
        maker = Graph(self._model).producer(name)
        if maker is None:
            raise UnsupportedError(f"the next state {name!r} is an input of the file, wanted a value that it computes")
        maker.output[:] = [f"{self._name}/{name}/old" if made == name else made for made in maker.output]
        axes = self._dropped(name)
        if len(self._dims[name]) == 1:
            self._add("Squeeze", [flat, self._axes([0])], name)
        else:
            self._add("Unsqueeze" if axes else "Identity", [flat, *([self._axes(axes)] if axes else [])], name)

    def _dropped(self, name: str) -> list[int]:
        """Return the axes of size 1 other than that of the streams."""
        dims = self._dims[name]
        named = [axis for axis, size in enumerate(dims[:-1]) if isinstance(size, str)]
        streams = (*named, len(dims) - 2)[0]
        axes = [axis for axis in range(len(dims) - 1) if axis != streams]
        ones = axes if named else range(len(dims) - 1)
        if any(dims[axis] != 1 for axis in ones):
            raise UnsupportedError(
                f"{name!r} has shape {shape_text(dims)}, wanted its values along the last axis, and one stream: export "
                "the model for one stream"
            )
        return axes

    def _axes(self, axes: list[int]) -> str:
        """Return the name of a constant with axes."""
        name = f"{DOMAIN}.axes{'_'.join(map(str, axes))}"
        if all(tensor.name != name for tensor in self._model.graph.initializer):
            self._model.graph.initializer.append(numpy_helper.from_array(np.array(axes), name))
        return name

    def _add(self, operator: str, reads: list[str], output: str, **options: Any) -> str:  # noqa: ANN401  an attribute
        self._model.graph.node.append(helper.make_node(operator, reads, [output], f"{output}/{operator}", **options))
        return output


def write_single_steps(model: onnx.ModelProto) -> None:
    """Replace each marker by a recurrent node that takes one frame, in place."""
    graph, nodes = Graph(model), list[onnx.NodeProto]()
    chains = {
        id(step): Chain(one.operator, one.attributes, (step,)) for one in find_chains(graph) for step in one.steps
    }
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), f"{DOMAIN}.first"))
    for node in model.graph.node:
        nodes += _single_step(graph, chains[id(node)]) if id(node) in chains else [node]
    set_nodes(model, nodes)


def _single_step(graph: Graph, chain: Chain) -> list[onnx.NodeProto]:
    """Return the recurrent node of one step, and the nodes that add and drop its axis of time."""
    (step,), axis = chain.steps, f"{DOMAIN}.first"
    reads = [f"{step.name}/{name}/start" for name in "xhc"[: 1 + chain.states]]
    finals = [f"{name}/final" for name in step.output]
    before = [
        helper.make_node("Unsqueeze", [name, axis], [made], f"{made}/one_frame")
        for name, made in zip(step.input, reads, strict=False)
    ]
    after = [
        helper.make_node("Squeeze", [final, axis], [name], f"{name}/one_frame")
        for final, name in zip(finals, step.output, strict=True)
    ]
    return [*before, recurrent_node(graph, chain, reads, ["", *finals]), *after]
