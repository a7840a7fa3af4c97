"""Python loops over time: the steps that tracing unrolled become one recurrent node over all frames.

A trace of T frames has T copies of the loop's body. The first copy is *rolled*: each of its values gets a leading axis
of time, so `[batch, features]` becomes `[time, batch, features]`. A frame taken from a sequence becomes the sequence,
the step of a cell becomes an LSTM, GRU or RNN node, and every other node must act on each frame by itself. The proof
runs other lengths, so it shows whether the other copies do the same.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...runtime.errors import UnsupportedError
from ...runtime.graph.cell_options import cell_options
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ...runtime.graph.projected_lstm import PEEPHOLES, WEIGHTS, projected_lstm
from ..graph.editing import inferred, remove_dead, set_nodes, sort_nodes
from ..graph.markers import ALL_STEPS, DOMAIN, PROJECTED, in_onnx_order, is_marker
from ..graph.recurrent_nodes import ONE_FRAME, nonzero_source, operand
from .loop_body import FRAMES, rolled_node
from .loop_cells import Chain, check_chain, find_chains, joins_steps, nearest_steps

_BY_FRAME = "let the loop read x[:, t] with t from 0, and do everything else for all frames before or after it"


def roll_loops(model: onnx.ModelProto) -> None:
    """Replace loops over time by recurrent nodes, in place; a model without markers of cells does not change.

    Raises:
        UnsupportedError: A cell's state changes between two steps, or a node in a step cannot act on all frames at
            once.
    """
    graph = Graph(model)
    chains = find_chains(graph)
    if not chains:
        return
    near = nearest_steps(graph, chains)
    for chain in chains:
        check_chain(graph, chain, near)
    stacks = [node for node in graph.nodes if joins_steps(node, near, chains)]
    rolling = _Rolling(graph, _dims(model, chains), chains, stacks)
    made = [node for stack in stacks for node in rolling.joined(stack)]
    made += [node for chain in chains for node in rolling.finals(chain)]
    for read in _of_second_steps(chains, stacks):
        rolling.refuse_first_frame(read)
    gone = {name for node in made for name in node.output}
    kept = [node for node in model.graph.node if not gone.intersection(node.output)]
    set_nodes(model, [*kept, *rolling.nodes, *made])
    sort_nodes(model)
    remove_dead(model)
    _check_gone(model)


def _of_second_steps(chains: Iterable[Chain], stacks: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """Yield what cells read at the second step, and the answers of that step."""
    yield from (chain.steps[1].input[0] for chain in chains if len(chain.steps) > 1)
    yield from (stack.input[1] for stack in stacks if len(stack.input) > 1)


def _common(graph: Graph, chain: Chain, ends: AbstractSet[str]) -> set[str]:
    """Return the values that the first two steps of a chain both depend on: they are made before the loop."""
    found = [_sources(graph, step.input[0], ends) for step in chain.steps[:2]]
    return set.intersection(*found) if len(found) == 2 else set()


def _sources(graph: Graph, name: str, ends: AbstractSet[str]) -> set[str]:
    """Return the values that a value depends on; the search stops at `ends`."""
    waiting, seen = [name], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen and name not in ends:
            seen.add(name)
            node = graph.producer(name)
            waiting.extend(node.input if node is not None else ())
    return seen


def _dims(model: onnx.ModelProto, chains: Iterable[Chain]) -> dict[str, list[int | str]]:
    """Return the shapes of values, if ONNX can infer them; a size that is not known is 0."""
    shaped = onnx.ModelProto()
    shaped.CopyFrom(model)
    for chain in chains:
        hidden = next((t.dims[-1] for t in model.graph.initializer if t.name == chain.weights[1]), None)
        for step in chain.steps:
            shaped.graph.value_info.extend(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, chain.sizes(i) or hidden])
                for i, name in enumerate(step.output)
            )
    graph = inferred(shaped)
    known = [v for v in (*graph.input, *graph.value_info, *graph.output) if v.type.tensor_type.HasField("shape")]
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in known}


class _Rolling:
    """The first copy of each loop's body, rolled: with time in front.

    Attributes:
        nodes: The nodes made so far.
    """

    def __init__(
        self,
        graph: Graph,
        dims: dict[str, list[int | str]],
        chains: Iterable[Chain],
        stacks: Iterable[onnx.NodeProto],
    ) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._graph, self._dims = graph, dims
        self._chain_of = {step.output[0]: chain for chain in chains for step in chain.steps}
        whole = {stack.output[0] for stack in stacks}
        ends = whole.union(*(step.output for chain in chains for step in chain.steps))
        whole = whole.union(*(_common(graph, chain, ends) for chain in chains))
        self._rolled: dict[str, str | None] = dict.fromkeys(whole)
        self._ends, self._taken = ends, set[tuple[str, int]]()  # sequences whose frames the first step takes, axes

    def joined(self, stack: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Yield nodes that make the output of a Concat over the steps from the rolled value of the first step."""
        first, axis = stack.input[0], attributes(stack)["axis"]
        frames, shape = self.rolled(first), self._dims.get(first)
        if frames is None or shape is None or shape[axis] != 1:
            raise UnsupportedError(
                f"{label(stack)}: joins the answers of the steps along axis {axis}, wanted one entry per step; "
                "use torch.stack(answers, dim=1)"
            )
        axis %= len(shape)
        flat, order = f"{frames}/flat", list(range(1, len(shape)))
        order.insert(axis, 0)
        yield self._node("Squeeze", [frames, self._axes(axis + 1)], [flat])
        yield helper.make_node("Transpose", [flat], stack.output, stack.name, perm=order)

    def refuse_first_frame(self, name: str) -> None:
        """Refuse a value of the second step that is made of the first frame of a sequence.

        Raises:
            UnsupportedError: It is such a value; in the first step that frame is the step's own.
        """
        for source in _sources(self._graph, name, self._ends):
            node = self._graph.producer(source)
            taken = None if node is None or source != node.output[0] else _first_frame(self._graph, node)
            shape = self._dims.get(node.input[0]) if node is not None and node.input else None
            if node is None or taken is None or not shape or (node.input[0], taken[0] % len(shape)) not in self._taken:
                continue
            raise UnsupportedError(
                f"{label(node)}: each step of the loop reads the first frame of {node.input[0]!r}, wanted its own "
                "frame only: a stream does not keep the first; let the forward take that frame as an argument of its "
                "own without an axis of time, which a caller sets for each stream"
            )

    def finals(self, chain: Chain) -> Iterator[onnx.NodeProto]:
        """Yield nodes that make the states after the last step."""
        self.rolled(chain.steps[0].output[0])
        for i, name in enumerate(chain.steps[-1].output):
            if name:
                yield self._node("Squeeze", [f"{chain.steps[0].output[i]}/final", self._axes(0)], [name])

    def rolled(self, name: str) -> str | None:
        """Return the name of a value of the first step, rolled; None if the value is the same for each frame."""
        if name not in self._rolled:
            node = self._graph.producer(name)
            constant = node is None or self._graph.constant(name) is not None
            self._rolled.update({name: None} if constant or node is None else self._roll(node))
        if name not in self._rolled:
            raise UnsupportedError(f"the first step of the loop reads {name!r}, which is not its frame; {_BY_FRAME}")
        return self._rolled[name]

    def _roll(self, node: onnx.NodeProto) -> dict[str, str | None]:
        chain = self._chain_of.get(node.output[0])
        if chain is not None:
            return self._roll_cell(node, chain)
        parts = [self.rolled(name) if name else None for name in node.input]
        source = self._source(node) if parts[0] is None else None
        if source is not None:
            return {node.output[0]: source}
        if not any(parts):
            return dict.fromkeys(node.output)
        made = rolled_node(self._graph, node, parts)
        self.nodes += made
        return {name: f"{name}{FRAMES}" for name in node.output if name}

    def _roll_cell(self, node: onnx.NodeProto, chain: Chain) -> dict[str, str | None]:
        signal = self.rolled(node.input[0])
        if node.output[0] != chain.steps[0].output[0] or signal is None:
            raise UnsupportedError(
                f"{label(chain.steps[0])}: it reads no frame of a sequence at its first step; {_BY_FRAME}; {ONE_FRAME}"
            )
        starts = [self._start(node.input[1 + i], node.output[i]) for i in range(chain.states)]
        starts = [name or self._zeros(signal, node.output[i], chain.sizes(i)) for i, name in enumerate(starts)]
        finals = [f"{node.output[i]}/final" for i in range(chain.states)]
        y, frames = f"{node.output[0]}/y", f"{node.output[0]}{FRAMES}"
        self.nodes.append(recurrent_node(self._graph, chain, [signal, *starts], [y, *finals]))
        self._add("Squeeze", [y, self._axes(1)], frames)
        return {node.output[0]: frames}

    def _start(self, initial: str, name: str) -> str:
        """Return the name of an initial state [layers, batch, hidden]; an empty name, which means zeros, for zeros."""
        if nonzero_source(self._graph, initial) is None:
            return ""  # the zeros' size may depend on a step, which will be removed
        self._add("Unsqueeze", [initial, self._axes(0)], f"{name}/start")
        return f"{name}/start"

    def _zeros(self, signal: str, name: str, size: int | None) -> str:
        """Return the name of zeros [1, batch, size] for a signal [time, batch, features]; an empty name for no size."""
        if size is None:
            return ""
        constant = numpy_helper.from_array(np.zeros((1, 1, size), np.float32), f"{name}/zero")
        self._graph.model.graph.initializer.append(constant)
        self._add("Shape", [signal], f"{name}/sizes")
        self._add("Slice", [f"{name}/sizes", self._axes(1), self._axes(2), self._axes(0)], f"{name}/streams")
        self.nodes.append(
            helper.make_node("Concat", [self._axes(1), f"{name}/streams", self._axes(1)], [f"{name}/shape"], axis=0)
        )
        self._add("Expand", [f"{name}/zero", f"{name}/shape"], f"{name}/start")
        return f"{name}/start"

    def _source(self, node: onnx.NodeProto) -> str | None:
        """Return the sequence, time first, if a node takes its first frame; else None."""
        taken = _first_frame(self._graph, node)
        shape = self._dims.get(node.input[0]) if node.input else None
        if taken is None or shape is None or (len(shape) < 2 and self._graph.producer(node.input[0]) is not None):
            return None  # a size taken from a shape, not a frame
        axis, keeps = taken[0] % len(shape), taken[1]
        self._taken.add((node.input[0], axis))
        frames = f"{node.output[0]}{FRAMES}"
        order = [axis, *(place for place in range(len(shape)) if place != axis)]
        made = f"{frames}/first" if keeps else frames
        self.nodes.append(helper.make_node("Transpose", [node.input[0]], [made], f"{node.name}/Transpose", perm=order))
        if keeps:
            self._add("Unsqueeze", [made, self._axes(axis + 1)], frames)
        return frames

    def _axes(self, axis: int) -> str:
        """Return the name of a constant that holds one axis."""
        name = f"{DOMAIN}.axis{axis}"
        if all(tensor.name != name for tensor in self._graph.model.graph.initializer):
            self._graph.model.graph.initializer.append(numpy_helper.from_array(np.array([axis]), name))
        return name

    def _add(self, operator: str, inputs: list[str], output: str) -> None:
        self.nodes.append(self._node(operator, inputs, [output]))

    @staticmethod
    def _node(operator: str, inputs: list[str], outputs: list[str]) -> onnx.NodeProto:
        return helper.make_node(operator, inputs, outputs, f"{outputs[0]}/{operator}")


def _first_frame(graph: Graph, node: onnx.NodeProto) -> tuple[int, bool] | None:
    """Return the axis along which a node takes the first entry, and whether it keeps the axis; None if it does not."""
    given = attributes(node)
    if node.op_type == "Gather":
        index = graph.constant(node.input[1])
        alone = index is not None and index.size == 1 and not index.any()
        return (given.get("axis", 0), index.ndim == 1) if alone and index is not None else None
    if node.op_type == "Slice":
        bounds = [graph.constant(operand(node, place)) for place in (1, 2, 3)]
        starts, ends, axes = (None if bound is None else bound.tolist() for bound in bounds)
        return (axes[0], True) if (starts, ends) == ([0], [1]) and axes is not None else None
    return (given.get("axis", 0), True) if node.op_type == "Split" else None


def recurrent_node(graph: Graph, chain: Chain, inputs: list[str], outputs: list[str]) -> onnx.NodeProto:
    """Return the recurrent node that replaces all steps of a cell.

    Args:
        graph: The graph.
        chain: The cell.
        inputs: X and the initial states.
        outputs: Y and the final states.
    """
    x, *states = inputs
    given = dict(chain.attributes)
    name = chain.steps[0].name
    if given.pop(PROJECTED, None) is not None:
        options = cell_options(helper.make_node("LSTM", [], [""], name, **given))
        weights = dict(zip((*WEIGHTS, PEEPHOLES), chain.weights, strict=False))
        y, *finals = outputs
        return projected_lstm(name, [*states, x], [*finals, y or f"{name}/Y"], weights, options)
    if chain.written:
        w, r, b, *peepholes = chain.weights
        more = [*[""] * (2 - len(states)), *peepholes] if peepholes else []
        reads = [x, w, r, b, "", *states, *more]
    else:
        names, given["hidden_size"] = _weights_of_torch(graph, chain)
        reads = [x, *names, *[""] * (4 - len(names)), *states]
    return helper.make_node(chain.operator, reads, outputs, name, **given)


def _weights_of_torch(graph: Graph, chain: Chain) -> tuple[list[str], int]:
    """Append W, R and B of a cell of torch; return their names and the number of units."""
    first = chain.steps[0]
    listed = [graph.constant(name) for name in chain.weights]
    known = [values for values in listed if values is not None]
    if len(known) < len(listed):
        raise UnsupportedError(f"{label(first)}: its weights vary, wanted constants")
    w, r, *biases = (in_onnx_order(values, chain.operator) for values in known)
    weights = {"W": w[None], "R": r[None]} | ({"B": np.concatenate(biases)[None]} if biases else {})
    names = [f"/{first.name.strip('/')}/{key}" for key in weights]
    graph.model.graph.initializer.extend(map(numpy_helper.from_array, weights.values(), names))
    return names, r.shape[1]


def _check_gone(model: onnx.ModelProto) -> None:
    """Refuse a graph that still has a marker of a cell."""
    for node in model.graph.node:
        if is_marker(node, *ALL_STEPS):
            raise UnsupportedError(
                f"{label(node)}: the answer of a single step is read outside the loop, wanted the last one's or "
                "torch.stack() of all; " + _BY_FRAME
            )
