"""Routes of states through a foreign graph: which value of a state input starts which value of which layer.

Between a state input and a recurrent node there are only operators that move values (Gather, Split, Squeeze,
Transpose), or put some in the place of others (ScatterND, as `cache[0] = h` becomes). So every input value gets a
number, and only this part of the graph is run on the numbers. The numbers that arrive at a node show where its state
comes from. An output feeds an input if every number comes back to its place; nothing is guessed from names or shapes.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from ...runtime.arrays import Array
from ...runtime.cells import CELLS, StateOperand
from ...runtime.errors import ContractError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import label
from ..graph.axes import Dims, shape_of, sized_model
from ..graph.recurrent_nodes import MOVES, operand, recurrent_nodes, state_sizes

MAX_VALUES = 2**24  # of all states; float32 holds integers exactly up to here
OTHER = -1.0  # the number of a value that comes from no input

NONE: Mapping[str, Array] = {}

_JOINED = {"Concat": slice(None), "ScatterElements": slice(0, 3, 2), "ScatterND": slice(0, 3, 2)}  # what they move


@dataclass(frozen=True)
class Source:
    """The origin of one state of one recurrent node.

    Attributes:
        node: The recurrent node.
        slot: Which of its states.
        size: The number of values in a row of the state.
        name: The graph input that the state comes from.
        numbers: For each value of the state, the number (by `number_inputs`) of the input value that starts it. A layer
            over bands has a row for each band.
    """

    node: onnx.NodeProto
    slot: StateOperand
    size: int
    name: str
    numbers: tuple[int, ...]

    @property
    def rows(self) -> int:
        """The rows of the state: 1, or the bands of a frame in the batch of the layer."""
        return len(self.numbers) // self.size


def number_inputs(model: onnx.ModelProto) -> dict[str, Array]:
    """Return unique numbers, float64, for the values of each graph input, for one stream; inputs too large get none."""
    numbers: dict[str, Array] = {}
    first = 0
    for item in model.graph.input:
        shape = tuple(size if isinstance(size, int) else 1 for size in shape_of(item))
        count = int(np.prod(shape, dtype=object))
        if first + count <= MAX_VALUES:
            numbers[item.name] = np.arange(first, first + count, dtype=np.float64).reshape(shape)
            first += count
    return numbers


def still(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, Dims]]:
    """Return a copy whose free sizes are 1, with the values that then are constants, and its shapes."""
    if not model.graph.input:
        return model, {}
    item = model.graph.input[0]
    free = [axis for axis, size in enumerate(shape_of(item)) if not isinstance(size, int)]
    return sized_model(model, item.name, dict.fromkeys(free or [-1], 1))


def sources(
    model: onnx.ModelProto, numbers: Mapping[str, Array], shapes: Mapping[str, Dims] | None = None
) -> list[Source]:
    """Return the origin of each recurrent state that starts from a graph input.

    Args:
        model: The model, for one stream.
        numbers: The numbers of its inputs.
        shapes: The shapes of its values, if other values are put into a state input before its next part is read.

    Raises:
        ContractError: A state is made of several inputs, or of a wrong number of input values.
    """
    graph = Graph(model)
    found = []
    for node in recurrent_nodes(graph):
        for slot, size in zip(CELLS[node.op_type].states, state_sizes(graph, node), strict=True):
            taken = came_from(model, operand(node, slot.input), numbers, shapes)
            if taken is not None:
                what = f"{label(node)}: initial_{slot.kind}"
                found.append(Source(node, slot, size, *_started(what, taken, size, numbers)))
    return found


def came_from(
    model: onnx.ModelProto, name: str, numbers: Mapping[str, Array], shapes: Mapping[str, Dims] | None = None
) -> Array | None:
    """Return the numbers of the input values that a value is moved from; None if anything else takes part."""
    ends, known = moved_from(Graph(model), name, numbers), shapes or {}
    others = [end for end in ends if end not in numbers]
    sizes = {end: [size for size in known.get(end, (None,)) if isinstance(size, int)] for end in others}
    if len(others) == len(ends) or any(len(sizes[end]) < len(known.get(end, (None,))) for end in others):
        return None
    values = {end: numbers[end] for end in ends if end in numbers}
    taken = moved(model, name, values | {end: np.full(sizes[end], OTHER) for end in others})
    return None if taken is None or OTHER in taken else taken


def holders(taken: Array, numbers: Mapping[str, Array]) -> list[str]:
    """Return the inputs that hold some of the values with these numbers."""
    return [name for name, own in numbers.items() if np.isin(taken, own).any()]


def arrivals(
    model: onnx.ModelProto,
    states: Sequence[Source],
    nexts: Mapping[str, Array] = NONE,
    kept: Mapping[str, Array] = NONE,
) -> dict[str, Array]:
    """Return the graph outputs that hold only final states, each with the numbers of the values it started from.

    Args:
        model: The model.
        states: Its recurrent states.
        nexts: Other values that hold next values of states, with the numbers of these.
        kept: What an output may hold besides, with its numbers: state inputs that are handed on in part.
    """
    graph = Graph(model)
    finals = dict(_finals(states)) | dict(nexts)
    found = {}
    for output in model.graph.output:
        needed = origins(graph, output.name, finals.keys() | kept.keys())
        values = {name: finals[name] if name in finals else kept[name] for name in needed}
        numbers = moved(model, output.name, values) if not finals.keys().isdisjoint(needed) else None
        if numbers is not None:
            found[output.name] = numbers.astype(np.int64)
    return found


def moved_from(graph: Graph, name: str, known: Collection[str] = ()) -> list[str]:
    """Return the values that a value is moved or joined from; the search stops at the known values."""
    waiting, seen, found = [name], set[str](), []
    while waiting:
        name = waiting.pop()
        if name in seen or not name:
            continue
        seen.add(name)
        node = graph.producer(name)
        if name in known or node is None or node.op_type not in MOVES | _JOINED.keys():
            found.append(name)
        else:
            waiting += node.input[_JOINED.get(node.op_type, slice(1))]
    return found


def origins(graph: Graph, name: str, known: Collection[str]) -> list[str]:
    """Return the known values that a value is moved from; none if anything else takes part."""
    found = moved_from(graph, name, known)
    return found if all(end in known for end in found) else []


def _started(what: str, taken: Array, size: int, numbers: Mapping[str, Array]) -> tuple[str, tuple[int, ...]]:
    """Return the input that a state starts from, and the numbers of its values there."""
    names = holders(taken, numbers)
    if len(names) > 1:
        raise ContractError(
            f"{what} is made of the inputs {', '.join(names)}, wanted one input; give each state its own"
        )
    if not taken.size or taken.size % size:
        raise ContractError(
            f"{what} gets {taken.size} values of {names[0]!r} for one stream, wanted {size}; export the model for one "
            "stream"
        )
    return names[0], tuple(np.ravel(taken).astype(np.int64).tolist())


def _finals(states: Sequence[Source]) -> Iterator[tuple[str, Array]]:
    """Yield final states, and the answers to a single frame, each with the numbers of its initial state."""
    for state in states:
        numbers = np.array(state.numbers, np.float64).reshape(1, state.rows, state.size)
        if final := _made(state.node, state.slot.output):
            yield final, numbers
        if state.slot.kind == "h" and state.node.op_type != "Scan" and (answers := _made(state.node, 0)):
            yield answers, numbers[None]


def _made(node: onnx.NodeProto, position: int) -> str:
    return node.output[position] if position < len(node.output) else ""


def moved(model: onnx.ModelProto, name: str, values: Mapping[str, Array]) -> Array | None:
    """Run the nodes that move some values to a name; return None if anything else takes part, e.g. a chunk's size."""
    graph = Graph(model)
    nodes: list[onnx.NodeProto] = []
    waiting = [name]
    while waiting:
        node = graph.producer(wanted := waiting.pop())
        if wanted not in values and node is not None and node not in nodes:
            nodes.append(node)
            waiting += [read for read in node.input if read]
    order = [node for node in model.graph.node if node in nodes]
    read = {name for node in order for name in node.input if name}
    inputs = [helper.make_tensor_value_info(key, onnx.TensorProto.DOUBLE, value.shape) for key, value in values.items()]
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in read]
    made = {made for node in order for made in node.output} | {tensor.name for tensor in tensors} | set(values)
    if not read <= made:
        return None
    body = helper.make_graph(order, "moves", inputs, [onnx.ValueInfoProto(name=name)], tensors)
    part = helper.make_model(body, opset_imports=model.opset_import)
    (result,) = ReferenceEvaluator(part).run(None, dict(values))
    return np.asarray(result)
