"""Further arguments of a forward, in the graph: initial states, and the lengths of packed sequences.

A stream starts from zeros and has no padding. So both kinds of arguments become constants, and the states are lifted
like those of any other module.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.arrays import Array
from ...runtime.cells import CELLS, STANDARD
from ...runtime.contract import State
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ...runtime.graph.projected_lstm import with_weights
from ..graph.axes import Dims, sized_model
from ..graph.constants import fold_constants
from ..graph.editing import rename_all, set_nodes, value_names
from ..graph.recurrent_nodes import MOVES, SEQUENCE_LENS, operand, signal_of
from ..states.routes import moved, moved_from

_PERMUTING = (
    "TopK",
    "ScatterElements",
)  # torch sorts sequences by length with TopK, and undoes it with ScatterElements

FLOATS_APART = (
    "signals and static inputs are floats, each an argument of its own, and ids are [batch, frames]: give a mask as "
    "features, [batch, frames, features], and a category of the whole sequence in each frame or one-hot, "
    "[batch, values]"
)

StateKey = tuple[str, str]
"""The name of a recurrent node and the kind of one of its states."""


def fill_arguments(model: onnx.ModelProto, values: Mapping[str, Array]) -> None:
    """Turn inputs of the graph into constants, in place."""
    kept = [item for item in model.graph.input if item.name not in values]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())


def fill_lengths(model: onnx.ModelProto, values: Mapping[str, Array], source: str, shape: Sequence[int]) -> None:
    """Compute inputs that are lengths of whole sequences from the signal's shape, in place.

    Args:
        model: A translated model.
        values: The lengths in the example, by the name of the input.
        source: Its signal input.
        shape: The shape of the example.

    Raises:
        UnsupportedError: The graph reads an input that is no lengths.
    """
    rest = dict(values)
    nodes: list[onnx.NodeProto] = []
    for name, lengths in values.items():
        time = next((axis for axis in (1, 0) if len(shape) > axis and np.all(lengths == shape[axis])), None)
        if time is not None and lengths.shape == (shape[1 - time],):
            rest.pop(name)
            sizes = {f"{name}/frames": time, f"{name}/streams": 1 - time}
            nodes += [helper.make_node("Shape", [source], [key], start=i, end=i + 1) for key, i in sizes.items()]
            nodes.append(helper.make_node("Expand", [*sizes], [name], f"{name}/Expand"))
    read = {name for node in model.graph.node for name in node.input}
    for name, lengths in rest.items():
        if name in read:
            raise UnsupportedError(
                f"argument {name!r}: {lengths.dtype} of shape {list(lengths.shape)}, wanted states in float32, or the "
                f"lengths of whole sequences; {FLOATS_APART}"
            )
    kept = [item for item in model.graph.input if item.name not in values]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    set_nodes(model, [*nodes, *model.graph.node])


def follow_batch(model: onnx.ModelProto) -> None:
    """Give constant states of projected LSTMs the batch of the signal, in place: a Scan's shapes follow its states."""
    graph, nodes = Graph(model), []
    for node in graph.nodes:
        for position, name in enumerate(node.input[:2] if with_weights(node) is not None else ()):
            state = graph.constant(name)
            if state is not None and not state.any():
                node.input[position] = f"{node.name}/start{position}"
                nodes += _zeros_per_stream(model, node.input[position], node.input[2], state.shape[-1])
        nodes.append(node)
    set_nodes(model, nodes)


def _zeros_per_stream(model: onnx.ModelProto, name: str, source: str, size: int) -> list[onnx.NodeProto]:
    """Return nodes that make zeros [1, batch, size] for a signal [time, batch, features]."""
    layer, sizes, zero, streams, shape = (f"{name}/{key}" for key in ("layer", "size", "zero", "streams", "shape"))
    constants = {layer: np.array([1]), sizes: np.array([size]), zero: np.zeros((1, 1, size), np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in constants.items())
    return [
        helper.make_node("Shape", [source], [streams], start=1, end=2),
        helper.make_node("Concat", [layer, streams, sizes], [shape], axis=0),
        helper.make_node("Expand", [zero, shape], [name]),
    ]


def started_by(model: onnx.ModelProto, inputs: Collection[str]) -> dict[StateKey, str]:
    """Return the graph input, of those named, that each recurrent state starts from."""
    graph = Graph(model)
    found: dict[StateKey, str] = {}
    for node in graph.nodes:
        for slot in CELLS[node.op_type].states if node.op_type in CELLS else ():
            given = [name for name in moved_from(graph, operand(node, slot.input)) if name in inputs]
            if len(given) == 1:
                found[node.name, slot.kind] = given[0]
    return found


def whole_arguments(model: onnx.ModelProto, values: Mapping[str, Array]) -> set[str]:
    """Return the state arguments that hold the states of their nodes, bottom layer first, and nothing else.

    Args:
        model: A translated model that still has its arguments.
        values: The arguments in the example.
    """
    graph, found = Graph(model), set[str]()
    numbers = {name: np.arange(value.size, dtype=np.float64).reshape(value.shape) for name, value in values.items()}
    parts: dict[str, list[Array]] = {name: [] for name in values}
    for (node, kind), name in started_by(model, values).items():
        by_name = next(maker for maker in graph.nodes if maker.name == node)
        slot = next(slot for slot in CELLS[by_name.op_type].states if slot.kind == kind)
        part = moved(model, operand(by_name, slot.input), {name: numbers[name]})
        parts[name].append(np.zeros(0) if part is None else part.ravel())
    for name, taken in parts.items():
        if taken and np.array_equal(np.concatenate(taken), numbers[name].ravel()):
            found.add(name)
    return found


def name_states(
    model: onnx.ModelProto, states: Sequence[State], starts: Mapping[StateKey, str], whole: Collection[str]
) -> tuple[State, ...]:
    """Give each state that an argument of the forward holds the name of the argument, in place; return the states.

    Args:
        model: A lifted model.
        states: Its states.
        starts: The argument that each recurrent state starts from.
        whole: The arguments from `whole_arguments` that may give their names.
    """
    lifted, taken = started_by(model, [state.input for state in states]), value_names(model)
    named = {}
    for argument in set(whole) - taken:
        units = {unit for unit, name in starts.items() if name == argument}
        own = {lifted[unit] for unit in units if unit in lifted}
        if len(own) == 1 and units == {unit for unit, name in lifted.items() if name in own}:
            named[own.pop()] = argument
    rename_all(model, named)
    return tuple(replace(state, input=named.get(state.input, state.input)) for state in states)


def refuse_read(model: onnx.ModelProto, names: Iterable[str]) -> None:
    """Refuse state arguments that are used for anything but the initial state of a recurrent node.

    Raises:
        UnsupportedError: A state argument has another use.
    """
    graph = Graph(model)
    for name in names:
        waiting = [name]
        while waiting:
            value = waiting.pop()
            for reader in graph.consumers(value):
                if reader.op_type in MOVES or reader.op_type == "Concat":
                    waiting.extend(reader.output)
                elif value not in _initials(reader):
                    raise UnsupportedError(
                        f"argument {name!r}: {label(reader)} reads it, wanted only as the initial state of nn.LSTM, "
                        f"nn.GRU, nn.RNN or one of their cells; {FLOATS_APART}"
                    )


def _initials(node: onnx.NodeProto) -> list[str]:
    slots = CELLS[node.op_type].states if node.op_type in CELLS else ()
    return [operand(node, slot.input) for slot in slots]


def unpack_sequences(model: onnx.ModelProto, source: str, shape: Sequence[int], *, lengths: bool = True) -> None:
    """Remove lengths from the graph if all sequences are whole, in place.

    Three kinds of nodes are rewritten: a recurrent node with sequence_lens, a Gather that permutes the batch (torch
    sorts it if `enforce_sorted=False`), and a Gather that takes the last frame of each sequence. Lengths are judged at
    the sizes of the example; the proof compares with the module at other sizes.

    Args:
        model: A translated model.
        source: Its signal input.
        shape: The shape of the example.
        lengths: Whether lengths are arguments, or computed from sizes.
    """
    cells = [node for node in model.graph.node if node.op_type in STANDARD]
    packed = [node for node in cells if operand(node, SEQUENCE_LENS)]
    picking = [node for node in model.graph.node if node.op_type in ("Gather", "GatherElements")]
    if not packed and not lengths:
        return
    sized, dims = sized_model(model, source, dict(enumerate(shape)))
    fold_constants(sized)
    values, graph = Graph(sized), Graph(model)
    for node in packed:
        given, frames = values.constant(operand(node, SEQUENCE_LENS)), dims.get(signal_of(node), (None,))[0]
        if given is not None and np.all(given == frames):
            node.input[SEQUENCE_LENS] = ""
    for node in picking:
        if node.op_type == "Gather" and _keeps_order(graph, values, node, dims):
            _repeat(node)
        elif (last := _last_of(graph, values, node, dims)) is not None:
            _take_last(model, node, *last, kept=node.op_type == "GatherElements")
            _drop_reshapes(graph, node.output[0], dims)


def _repeat(node: onnx.NodeProto) -> None:
    node.op_type = "Identity"
    del node.input[1:], node.attribute[:]


def _take_last(model: onnx.ModelProto, node: onnx.NodeProto, source: str, axis: int, *, kept: bool) -> None:
    """Turn a node into a Gather of the last place along an axis; `kept`: the axis stays, with size 1."""
    answer, place = node.output[0], list(model.graph.node).index(node)
    last, index = (f"{answer}/last" if kept else answer), f"{answer}/index"
    model.graph.initializer.append(numpy_helper.from_array(np.array(-1, np.int64), index))
    node.CopyFrom(helper.make_node("Gather", [source, index], [last], node.name, axis=axis))
    if kept:
        axes = f"{answer}/axes"
        model.graph.initializer.append(numpy_helper.from_array(np.array([axis], np.int64), axes))
        model.graph.node.insert(place + 1, helper.make_node("Unsqueeze", [last, axes], [answer], f"{answer}/Unsqueeze"))


def _drop_reshapes(graph: Graph, name: str, dims: Mapping[str, Dims]) -> None:
    """Turn Reshapes after a value that keep its shape into Identity: torch writes them with computed sizes."""
    for reader in graph.consumers(name):
        if reader.op_type == "Reshape" and dims.get(reader.output[0]) == dims.get(name) is not None:
            _repeat(reader)
            _drop_reshapes(graph, reader.output[0], dims)


def _last_of(graph: Graph, values: Graph, node: onnx.NodeProto, dims: Mapping[str, Dims]) -> tuple[str, int] | None:
    """Return the source and the axis if a node picks the last frame of each stream by lengths; else None.

    `out[torch.arange(batch), lengths - 1]` is a Gather from [batch * frames, features], `out.gather(1, ...)` a
    GatherElements.
    """
    places = values.constant(operand(node, 1))
    if places is None or places.size == 0:
        return None
    if node.op_type == "GatherElements":
        source, shape = node.input[0], dims.get(node.input[0]) or ()
        axis = attributes(node).get("axis", 0) % max(len(shape), 1)
        wanted = tuple(1 if i == axis else size for i, size in enumerate(shape))
        return (source, axis) if places.shape == wanted and np.all(places + 1 == shape[axis]) else None
    flat = graph.producer(node.input[0])
    if flat is None or flat.op_type not in ("Flatten", "Reshape") or attributes(node).get("axis", 0) != 0:
        return None
    shape = dims.get(flat.input[0]) or ()
    first, second = (size if isinstance(size, int) else 0 for size in (*shape, None, None)[:2])
    if dims.get(flat.output[0]) != (first * second, *shape[2:]):
        return None
    rows = np.arange(first * second).reshape(first, second)
    found = (axis for axis in (1, 0) if rows.size and np.array_equal(places, rows.take(-1, axis)))
    return next(((flat.input[0], axis) for axis in found), None)


def _keeps_order(graph: Graph, values: Graph, node: onnx.NodeProto, dims: Mapping[str, Dims]) -> bool:
    """Return whether a Gather permutes by sorted lengths, and the permutation leaves everything in its place."""
    order, shape = values.constant(node.input[1]), dims.get(node.input[0])
    axis = attributes(node).get("axis", 0)
    if order is None or shape is None or order.shape != (shape[axis],) or not np.all(order == np.arange(len(order))):
        return False
    maker = graph.producer(node.input[1])
    while maker is not None and maker.op_type in ("Cast", "Identity"):
        maker = graph.producer(maker.input[0])
    return maker is not None and maker.op_type in _PERMUTING
