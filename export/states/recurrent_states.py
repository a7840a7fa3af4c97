"""Lifting: hidden initial and final states of recurrent nodes become inputs and outputs of the graph."""

from collections import defaultdict
from collections.abc import Sequence
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
from ..graph.names import known_path
from ..graph.recurrent_nodes import checked_nodes, state_sizes

MIN_OPSET = 13  # since then Split takes its sizes as an input, in every version alike


@dataclass(frozen=True)
class Held:
    """A state that a file of others has as an input and an output already.

    Attributes:
        state: The pair, by the file's own names.
        units: The recurrent node, by its name, and the slot that each row of the state is for.
        declared: The shape of the input as the file declares it.
        tangled: The rows of the state are not those of layers: the file's own nodes take it apart, and they stay.
    """

    state: State
    units: tuple[tuple[str, StateOperand], ...]
    declared: Dims
    tangled: bool = False


@dataclass(frozen=True)
class _Stack:
    """The layers of one recurrent module, bottom first."""

    name: str
    layers: tuple[onnx.NodeProto, ...]
    sizes: tuple[int, ...]


def lift_states(
    model: onnx.ModelProto,
    *,
    batch: int | str = "batch",
    modules: Sequence[str] = (),
    held: Sequence[Held] = (),
) -> tuple[State, ...]:
    """Make the states of all recurrent nodes inputs and outputs of the graph, in place.

    Each module gets one pair of tensors a state, `<module path>.h_in` and `<module path>.h_out` and the
    same for `c`, of PyTorch's shape [layers, batch, hidden]. The graph holds nothing dead afterwards.

    Args:
        model: An ONNX model whose recurrent nodes start from zeros.
        batch: Streams: a number, or the name of the free axis.
        modules: Paths of the recurrent modules where they are known; a node whose name holds only the
            end of one path takes that path.
        held: States that the file had already: `unplug` took them out, and they come back under their own names.

    Returns:
        The state pairs: those of the file, then the modules in the order in which they run.

    Raises:
        UnsupportedError: A node has an option that cannot be streamed, does not start from zeros, or
            the file's operator set is too old.
        ModelError: The graph has no recurrent node.
    """
    graph = Graph(model)
    if graph.opset() < MIN_OPSET:
        raise UnsupportedError(f"opset {graph.opset()}, wanted at least {MIN_OPSET}; use onnx.version_converter")
    own = {(name, slot.kind) for state in held for name, slot in state.units}
    checked = checked_nodes(graph, {(name, slot.kind) for state in held if state.tangled for name, slot in state.units})
    nodes = [node for node in checked if not is_backward(node)]  # others start anew with each block
    by_name = {node.name: node for node in nodes}
    for known in held:
        if not known.tangled:
            _plug(model, [(by_name[name], slot) for name, slot in known.units], known.state)
    states = [
        _lift_state(model, stack, slot, batch, size, own)
        for stack in _stacks(graph, nodes, modules)
        for slot, size in zip(CELLS[stack.layers[0].op_type].states, stack.sizes, strict=True)
    ]
    remove_dead(model)
    return (*(known.state for known in held), *(state for state in states if state is not None))


def unplug(model: onnx.ModelProto, held: Sequence[Held]) -> None:
    """Take states out of a file, so that its recurrent nodes start from zeros, in place; those that are tangled stay.

    The graph holds nothing dead afterwards.
    """
    loose = [known for known in held if not known.tangled]
    units = {(name, slot.kind) for known in loose for name, slot in known.units}
    for node in model.graph.node:
        for slot in CELLS[node.op_type].states if node.op_type in CELLS else ():
            if (node.name, slot.kind) in units:
                node.input[slot.input] = ""
    taken = value_names(model)
    renamed = {known.state.output: unused(f"{known.state.output}/was", taken) for known in loose}
    rename_all(model, renamed)
    gone = {known.state.input for known in loose} | set(renamed.values())
    for items in (model.graph.input, model.graph.output):
        kept = [item for item in items if item.name not in gone]
        del items[:]
        items.extend(kept)
    remove_dead(model)


def same_values(model: onnx.ModelProto, states: Sequence[State], *, handed: bool = False) -> dict[str, str]:
    """Return the graph outputs that repeat a state output, with that state's name.

    `return lstm(x)` gives `y, (h, c)`, where h and c do. Without a batch, torch squeezes its axis away.

    Args:
        model: A lifted model.
        states: Its states.
        handed: Whether the model was one that hands its states out, those of cells without an axis of layers.
    """
    graph = Graph(model)
    squeezed = handed or not any("batch" in state.shape for state in states)
    passing = {"Identity", "Squeeze"} if squeezed else {"Identity"}
    by_origin = {_origin(graph, state.output, passing): state.output for state in states}
    names = (item.name for item in model.graph.output)
    found = {name: by_origin.get(_origin(graph, name, passing), name) for name in names}
    return {name: state for name, state in found.items() if name != state}


def _origin(graph: Graph, name: str, passing: AbstractSet[str]) -> tuple[str, ...]:
    """Trace a value to the final states that it holds unchanged, bottom layer first."""
    node = graph.producer(name)
    while node is not None and node.op_type in passing:
        name = node.input[0]
        node = graph.producer(name)
    stacked = node is not None and node.op_type == "Concat" and attributes(node)["axis"] == 0
    return tuple(node.input) if node is not None and stacked else (name,)


def _stacks(graph: Graph, nodes: Sequence[onnx.NodeProto], modules: Sequence[str]) -> list[_Stack]:
    groups: dict[tuple[str, str, tuple[int, ...]], list[onnx.NodeProto]] = defaultdict(list)
    for node in nodes:
        groups[known_path(node, modules), node.op_type, state_sizes(graph, node)].append(node)
    taken: set[str] = set()
    stacks = []
    for (path, kind, sizes), layers in groups.items():
        name = unused(path or kind.lower(), taken)
        taken.add(name)
        stacks.append(_Stack(name, tuple(layers), sizes))
    return stacks


def _lift_state(  # noqa: PLR0917  one caller
    model: onnx.ModelProto,
    stack: _Stack,
    slot: StateOperand,
    batch: int | str,
    size: int,
    own: AbstractSet[tuple[str, str]],
) -> State | None:
    """Lift a state of a module; None when the file has it already."""
    layers = [(layer, slot) for layer in stack.layers if (layer.name, slot.kind) not in own]
    if not layers:
        return None
    source, target = f"{stack.name}.{slot.kind}_in", f"{stack.name}.{slot.kind}_out"
    state = State(source, target, slot.kind, (len(layers), batch, size))
    _plug(model, layers, state)
    return state


def _plug(model: onnx.ModelProto, units: Sequence[tuple[onnx.NodeProto, StateOperand]], state: State) -> None:
    """Let units start from the rows of a new input and give them to a new output."""
    source, target = state.input, state.output
    for name in sorted({source, target} & value_names(model)):
        raise UnsupportedError(f"{label(units[0][0])}: the graph already has a value {name!r}; rename it")
    finals = [_final(node, slot, f"{target}.{i}") for i, (node, slot) in enumerate(units)]
    if len(units) == 1:
        _connect(*units[0], source)
        _expose(model, finals[0], target)
    else:
        _split(model, units, source)
        model.graph.node.append(helper.make_node("Concat", finals, [target], name=f"{target}/Concat", axis=0))
    for name, items in ((source, model.graph.input), (target, model.graph.output)):
        items.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        set_dims(items[-1], state.shape)


def _final(node: onnx.NodeProto, slot: StateOperand, name: str) -> str:
    """Return the name of a node's final state, which it gets if nothing has read it so far."""
    node.output.extend([""] * (slot.output + 1 - len(node.output)))
    final: str = node.output[slot.output] or name
    node.output[slot.output] = final
    return final


def _connect(node: onnx.NodeProto, slot: StateOperand, source: str) -> None:
    node.input.extend([""] * (slot.input + 1 - len(node.input)))
    node.input[slot.input] = source


def _expose(model: onnx.ModelProto, final: str, target: str) -> None:
    """Give a final state its name; where it was already an output, that one keeps its own."""
    rename(model, final, target)
    for item in model.graph.output:
        if item.name == target:
            item.name = final
            model.graph.node.append(helper.make_node("Identity", [target], [final], name=f"{target}/Identity"))


def _split(model: onnx.ModelProto, units: Sequence[tuple[onnx.NodeProto, StateOperand]], source: str) -> None:
    sizes = numpy_helper.from_array(np.ones(len(units), np.int64), f"{source}.sizes")
    model.graph.initializer.append(sizes)
    parts = [f"{source}.{i}" for i in range(len(units))]
    node = helper.make_node("Split", [source, sizes.name], parts, name=f"{source}/Split", axis=0)
    model.graph.node.insert(0, node)
    for (layer, slot), part in zip(units, parts, strict=True):
        _connect(layer, slot, part)
