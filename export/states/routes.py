"""Routes of states through a foreign graph: which value of a state input starts which value of which layer.

Between a state input and a recurrent node there are only operators that move values (Gather, Split, Squeeze,
Transpose). So every input value gets a number, and only this part of the graph is run on the numbers. The numbers that
arrive at a node show where its state comes from. An output feeds an input if every number comes back to its place;
nothing is guessed from names or shapes.
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
from ..graph.axes import shape_of
from ..graph.recurrent_nodes import MOVES, operand, recurrent_nodes, state_sizes

MAX_VALUES = 2**24  # of all states; float32 holds integers exactly up to here


@dataclass(frozen=True)
class Source:
    """The origin of one state of one recurrent node.

    Attributes:
        node: The recurrent node.
        slot: Which of its states.
        size: The number of values in the state.
        name: The graph input that the state comes from.
        numbers: For each value of the state, the number (by `number_inputs`) of the input value that starts it.
    """

    node: onnx.NodeProto
    slot: StateOperand
    size: int
    name: str
    numbers: tuple[int, ...]


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


def sources(model: onnx.ModelProto, numbers: Mapping[str, Array]) -> list[Source]:
    """Return the origin of each recurrent state that starts from a graph input.

    Raises:
        ContractError: A state is made of several inputs, or of a wrong number of input values.
    """
    graph = Graph(model)
    found = []
    for node in recurrent_nodes(graph):
        for slot, size in zip(CELLS[node.op_type].states, state_sizes(graph, node), strict=True):
            names = origins(graph, operand(node, slot.input), numbers)
            if names:
                found.append(_source(model, node, slot, size, {name: numbers[name] for name in names}))
    return found


def arrivals(model: onnx.ModelProto, states: Sequence[Source]) -> dict[str, Array]:
    """Return the graph outputs that hold only final states, each with the numbers of the values it started from."""
    graph = Graph(model)
    finals = dict(_finals(states))
    found = {}
    for output in model.graph.output:
        needed = origins(graph, output.name, finals)
        numbers = moved(model, output.name, {name: finals[name] for name in needed}) if needed else None
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
        if name in known or node is None or node.op_type not in MOVES | {"Concat"}:
            found.append(name)
        else:
            waiting += node.input if node.op_type == "Concat" else node.input[:1]
    return found


def origins(graph: Graph, name: str, known: Collection[str]) -> list[str]:
    """Return the known values that a value is moved from; none if anything else takes part."""
    found = moved_from(graph, name, known)
    return found if all(end in known for end in found) else []


def _source(
    model: onnx.ModelProto, node: onnx.NodeProto, slot: StateOperand, size: int, numbers: Mapping[str, Array]
) -> Source:
    what = f"{label(node)}: initial_{slot.kind}"
    if len(numbers) > 1:
        raise ContractError(
            f"{what} is made of the inputs {', '.join(numbers)}, wanted one input; give each state its own"
        )
    (name,) = numbers
    taken = moved(model, operand(node, slot.input), numbers)
    if taken is None or taken.size != size:
        seen = "an unknown number of" if taken is None else str(taken.size)
        raise ContractError(
            f"{what} gets {seen} values of {name!r} for one stream, wanted {size}; export the model for one stream"
        )
    return Source(node, slot, size, name, tuple(np.ravel(taken).astype(np.int64).tolist()))


def _finals(states: Sequence[Source]) -> Iterator[tuple[str, Array]]:
    """Yield final states, and the answers to a single frame, each with the numbers of its initial state."""
    for state in states:
        numbers = np.array(state.numbers, np.float64).reshape(1, 1, -1)
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
