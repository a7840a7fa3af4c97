"""Lifting of recurrent states: the initial and final states of nodes become inputs and outputs of the graph."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...runtime.cells import CELLS, StateOperand
from ...runtime.contract import State
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, is_backward, label
from ..graph.axes import Dims, set_dims
from ..graph.editing import remove_dead, rename, rename_all, unused, value_names
from ..graph.folds import Folds
from ..graph.names import known_path
from ..graph.recurrent_nodes import checked_nodes, state_sizes
from .caches import Cache, put_zeros

MIN_OPSET = 13  # from 13 on, Split takes its sizes as an input
ROWS = 3  # the axes of a state with one row per stream: layers, batch, hidden
NO_FOLDS = Folds()

_Batch = tuple[int | str, ...]


@dataclass(frozen=True)
class ForeignState:
    """A state that a foreign file already has as an input and an output.

    Attributes:
        state: The pair, by the file's own names.
        starts: What the state starts: the name of a recurrent node and which of its states, one entry per layer.
        declared: The shape of the input as the file declares it.
        packed: It holds states in another layout than [layers, batch, hidden], as [1, layers, hidden, 2] with h and c
            last. Each becomes a state of its layer, as if it were hidden.
        caches: The frames in it that come before those of the signal; each becomes a tail, as if it were hidden.
    """

    state: State
    starts: tuple[tuple[str, StateOperand], ...]
    declared: Dims
    packed: bool = False
    caches: tuple[Cache, ...] = ()


@dataclass(frozen=True)
class _Stack:
    """The layers of one recurrent module, bottom first; `batch` has the axes of their batch, the streams among them."""

    name: str
    layers: tuple[onnx.NodeProto, ...]
    sizes: tuple[int, ...]
    batch: tuple[int | str, ...]


def lift_states(
    model: onnx.ModelProto,
    *,
    batch: int | str = "batch",
    modules: Sequence[str] = (),
    foreign: Sequence[ForeignState] = (),
    folds: Folds = NO_FOLDS,
) -> tuple[State, ...]:
    """Make the states of all recurrent nodes inputs and outputs of the graph, in place.

    Each module gets `<module path>.h_in` and `<module path>.h_out`, and the same for `c`: float32, in PyTorch's shape
    [layers, batch, hidden]; with several rows per stream [layers, batch, rows, hidden], or rows before the batch, as
    the graph folds them. Afterwards the graph has no dead nodes.

    Args:
        model: An ONNX model whose recurrent nodes start from zeros.
        batch: The number of streams, or the name of the free axis.
        modules: Paths of the recurrent modules, if known. If a node is named after the end of exactly one path, the
            node belongs to that path.
        foreign: States that the file had before `unplug` took them out, none of them packed. They come back under their
            own names.
        folds: The nodes with several rows per stream, and those that carry nothing.

    Returns:
        The state pairs: first those of the file, then those of the modules in the order in which they run.

    Raises:
        UnsupportedError: A node has an option that cannot be streamed or does not start from zeros, a name is taken,
            or the file's operator set is too old.
        ModelError: The graph has no recurrent node.
    """
    graph = Graph(model)
    if graph.opset() < MIN_OPSET:
        raise UnsupportedError(f"opset {graph.opset()}, wanted at least {MIN_OPSET}; use onnx.version_converter")
    own = _keys(foreign)
    checked = checked_nodes(graph)
    # A backward direction starts from zeros in each block, a node inside a frame in each frame.
    nodes = [node for node in checked if not is_backward(node) and node.name not in folds.inside]
    by_name = {node.name: node for node in nodes}
    for known in foreign:
        _plug(model, [(by_name[name], slot) for name, slot in known.starts], known.state)
    states = [
        _lift_state(model, stack, slot, size, own)
        for stack in _stacks(graph, nodes, modules, {node.name: folds.rows.get(node.name, (batch,)) for node in nodes})
        for slot, size in zip(CELLS[stack.layers[0].op_type].states, stack.sizes, strict=True)
    ]
    remove_dead(model)
    return (*(known.state for known in foreign), *(state for state in states if state is not None))


def unplug(model: onnx.ModelProto, foreign: Sequence[ForeignState]) -> None:
    """Take states out of a file, so that its recurrent nodes start from zeros, in place.

    Afterwards the graph has no dead nodes.
    """
    started = _keys(foreign)
    put_zeros(model, [cache for known in foreign for cache in known.caches])
    for node in model.graph.node:
        for slot in CELLS[node.op_type].states if node.op_type in CELLS else ():
            if (node.name, slot.kind) in started:
                node.input[slot.input] = ""
    taken = value_names(model)
    renamed = {known.state.output: unused(f"{known.state.output}/was", taken) for known in foreign}
    rename_all(model, renamed)
    gone = {known.state.input for known in foreign} | set(renamed.values())
    for items in (model.graph.input, model.graph.output):
        kept = [item for item in items if item.name not in gone]
        del items[:]
        items.extend(kept)
    remove_dead(model)
    _refuse_other_readers(model, {known.state.input for known in foreign})


def _refuse_other_readers(model: onnx.ModelProto, gone: AbstractSet[str]) -> None:
    """Refuse a node that reads a state in another way.

    Raises:
        UnsupportedError: There is such a node.
    """
    for node in model.graph.node:
        if found := gone & {*node.input}:
            raise UnsupportedError(
                f"{label(node)}: it reads state input {min(found)!r}, which layers or convolutions carry on, wanted no "
                "other reader; write the model without this reader of the state, or with a layer in its place"
            )


def _keys(foreign: Sequence[ForeignState]) -> set[tuple[str, str]]:
    """Return what some states start: names of nodes and kinds of their states."""
    return {(name, slot.kind) for known in foreign for name, slot in known.starts}


def repeated_states(model: onnx.ModelProto, states: Sequence[State], *, handed_out: bool = False) -> dict[str, str]:
    """Return the graph outputs that repeat a state output, with that state's name.

    `return lstm(x)` gives `y, (h, c)`: here h and c repeat states. Without a batch, torch removes its axis by Squeeze.

    Args:
        model: A lifted model.
        states: Its states.
        handed_out: Whether the module returns the states that its caller passes in. Those of cells have no layer axis.
    """
    graph = Graph(model)
    squeezed = handed_out or not any("batch" in state.shape for state in states)
    passing = {"Identity", "Squeeze"} if squeezed else {"Identity"}
    by_origin = {_origin(graph, state.output, passing): state.output for state in states}
    names = (item.name for item in model.graph.output)
    found = {name: by_origin.get(_origin(graph, name, passing), name) for name in names}
    return {name: state for name, state in found.items() if name != state}


def drop_repeats(model: onnx.ModelProto, states: Sequence[State], *, handed_out: bool = False) -> dict[str, str]:
    """Drop outputs that repeat a final state, in place, unless there is no other output.

    Args:
        model: A lifted model.
        states: Its states.
        handed_out: As for `repeated_states`.

    Returns:
        The dropped outputs, and the state output that each repeats.
    """
    folded = repeated_states(model, states, handed_out=handed_out)
    kept = [item for item in model.graph.output if item.name not in folded]
    if len(kept) == len(states):
        return {}
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return folded


def _origin(graph: Graph, name: str, passing: AbstractSet[str]) -> tuple[str, ...]:
    """Return the names of the final states that a value holds unchanged, bottom layer first."""
    node = graph.producer(name)
    while node is not None and node.op_type in passing:
        name = node.input[0]
        node = graph.producer(name)
    stacked = node is not None and node.op_type == "Concat" and attributes(node)["axis"] == 0
    return tuple(node.input) if node is not None and stacked else (name,)


def _stacks(
    graph: Graph, nodes: Sequence[onnx.NodeProto], modules: Sequence[str], batches: Mapping[str, _Batch]
) -> list[_Stack]:
    groups: dict[tuple[str, str, tuple[int, ...], _Batch], list[onnx.NodeProto]] = defaultdict(list)
    for node in nodes:
        groups[known_path(node, modules), node.op_type, state_sizes(graph, node), batches[node.name]].append(node)
    taken: set[str] = set()
    stacks = []
    for (path, kind, sizes, batch), layers in groups.items():
        name = unused(path or kind.lower(), taken)
        taken.add(name)
        stacks.append(_Stack(name, tuple(layers), sizes, batch))
    return stacks


def _lift_state(
    model: onnx.ModelProto, stack: _Stack, slot: StateOperand, size: int, own: AbstractSet[tuple[str, str]]
) -> State | None:
    """Lift one state of a module; return None if the file already has it as an input."""
    layers = [(layer, slot) for layer in stack.layers if (layer.name, slot.kind) not in own]
    if not layers:
        return None
    source, target = f"{stack.name}.{slot.kind}_in", f"{stack.name}.{slot.kind}_out"
    state = State(source, target, slot.kind, (len(layers), *stack.batch, size))
    _plug(model, layers, state)
    return state


def _plug(model: onnx.ModelProto, layers: Sequence[tuple[onnx.NodeProto, StateOperand]], state: State) -> None:
    """Let layers start from a new input and write their final states to a new output, both [layers, ...]."""
    source, target = state.input, state.output
    for name in sorted({source, target} & value_names(model)):
        raise UnsupportedError(f"{label(layers[0][0])}: the graph already has a value {name!r}; rename it")
    finals = [_final(node, slot, f"{target}.{i}") for i, (node, slot) in enumerate(layers)]
    if len(state.shape) > ROWS:
        _plug_rows(model, layers, state, finals)
    elif len(layers) == 1:
        _connect(*layers[0], source)
        _expose(model, finals[0], target)
    else:
        _split(model, layers, source)
        model.graph.node.append(helper.make_node("Concat", finals, [target], name=f"{target}/Concat", axis=0))
    for name, items in ((source, model.graph.input), (target, model.graph.output)):
        items.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        set_dims(items[-1], state.shape)


def _plug_rows(
    model: onnx.ModelProto,
    layers: Sequence[tuple[onnx.NodeProto, StateOperand]],
    state: State,
    finals: Sequence[str],
) -> None:
    """Do so for layers that have several rows per stream: a Reshape folds them into the batch, another unfolds them."""
    source, target, sizes = state.input, state.output, state.concrete_shape(-1)[1:]
    for name, shape in ((f"{source}.folded", (1, -1, sizes[-1])), (f"{target}.rows", (1, *sizes))):
        model.graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
    _split(model, layers, source)
    for i, (node, slot) in enumerate(layers):
        part, made = node.input[slot.input], f"{source}.{i}.folded"
        fold = helper.make_node("Reshape", [part, f"{source}.folded"], [made], name=made)
        model.graph.node.insert(1, fold)
        _connect(node, slot, made)
    unfolded = [f"{final}.rows" for final in finals]
    for final, made in zip(finals, unfolded, strict=True):
        model.graph.node.append(helper.make_node("Reshape", [final, f"{target}.rows"], [made], name=made))
    model.graph.node.append(helper.make_node("Concat", unfolded, [target], name=f"{target}/Concat", axis=0))


def _final(node: onnx.NodeProto, slot: StateOperand, name: str) -> str:
    """Return the name of a node's final state; if the node has no such output yet, add it under `name`."""
    node.output.extend([""] * (slot.output + 1 - len(node.output)))
    final: str = node.output[slot.output] or name
    node.output[slot.output] = final
    return final


def _connect(node: onnx.NodeProto, slot: StateOperand, source: str) -> None:
    node.input.extend([""] * (slot.input + 1 - len(node.input)))
    node.input[slot.input] = source


def _expose(model: onnx.ModelProto, final: str, target: str) -> None:
    """Rename a final state to `target`; if it was a graph output already, that output stays under its old name."""
    rename(model, final, target)
    for item in model.graph.output:
        if item.name == target:
            item.name = final
            model.graph.node.append(helper.make_node("Identity", [target], [final], name=f"{target}/Identity"))


def _split(model: onnx.ModelProto, layers: Sequence[tuple[onnx.NodeProto, StateOperand]], source: str) -> None:
    sizes = numpy_helper.from_array(np.ones(len(layers), np.int64), f"{source}.sizes")
    model.graph.initializer.append(sizes)
    parts = [f"{source}.{i}" for i in range(len(layers))]
    node = helper.make_node("Split", [source, sizes.name], parts, name=f"{source}/Split", axis=0)
    model.graph.node.insert(0, node)
    for (layer, slot), part in zip(layers, parts, strict=True):
        _connect(layer, slot, part)
