"""Lifting: hidden initial and final states of recurrent nodes become inputs and outputs of the graph."""

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..runtime.contract import State
from ..runtime.errors import UnsupportedError
from ..runtime.graph import Graph, attributes, label
from .axes import set_dims
from .editing import remove_dead, rename, unused, value_names
from .naming import known_path
from .recurrent import CELLS, Slot, checked_nodes, state_sizes

MIN_OPSET = 13  # since then Split takes its sizes as an input, in every version alike


@dataclass(frozen=True)
class _Stack:
    """The layers of one recurrent module, bottom first."""

    name: str
    layers: tuple[onnx.NodeProto, ...]
    sizes: tuple[int, ...]


def lift_states(
    model: onnx.ModelProto, *, batch: int | str = "batch", modules: Sequence[str] = ()
) -> tuple[State, ...]:
    """Make the states of all recurrent nodes inputs and outputs of the graph, in place.

    Each module gets one pair of tensors a state, `<module path>.h_in` and `<module path>.h_out` and the
    same for `c`, of PyTorch's shape [layers, batch, hidden]. The graph holds nothing dead afterwards.

    Args:
        model: An ONNX model whose recurrent nodes start from zeros.
        batch: Streams: a number, or the name of the free axis.
        modules: Paths of the recurrent modules where they are known; a node whose name holds only the
            end of one path takes that path.

    Returns:
        The state pairs, modules in the order in which they run.

    Raises:
        UnsupportedError: A node has an option that cannot be streamed, does not start from zeros, or
            the file's operator set is too old.
        ModelError: The graph has no recurrent node.
    """
    graph = Graph(model)
    if graph.opset() < MIN_OPSET:
        raise UnsupportedError(f"opset {graph.opset()}, wanted at least {MIN_OPSET}; use onnx.version_converter")
    nodes = checked_nodes(graph)
    states = [
        _lift_state(model, stack, slot, (len(stack.layers), batch, size))
        for stack in _stacks(graph, nodes, modules)
        for slot, size in zip(CELLS[stack.layers[0].op_type].slots, stack.sizes, strict=True)
    ]
    remove_dead(model)
    return tuple(states)


def same_values(model: onnx.ModelProto, states: Sequence[State]) -> dict[str, str]:
    """Return the graph outputs that repeat a state output, with that state's name.

    `return lstm(x)` gives `y, (h, c)`, where h and c do. Without a batch, torch squeezes its axis away.
    """
    graph = Graph(model)
    passing = {"Identity"} if any("batch" in state.shape for state in states) else {"Identity", "Squeeze"}
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


def _lift_state(model: onnx.ModelProto, stack: _Stack, slot: Slot, shape: tuple[int | str, ...]) -> State:
    source, target = f"{stack.name}.{slot.kind}_in", f"{stack.name}.{slot.kind}_out"
    for name in sorted({source, target} & value_names(model)):
        raise UnsupportedError(f"{label(stack.layers[0])}: the graph already has a value {name!r}; rename it")
    finals = [_final(node, slot, f"{target}.{i}") for i, node in enumerate(stack.layers)]
    if len(stack.layers) == 1:
        _connect(stack.layers[0], slot, source)
        _expose(model, finals[0], target)
    else:
        _split(model, stack, slot, source)
        model.graph.node.append(helper.make_node("Concat", finals, [target], name=f"{target}/Concat", axis=0))
    for name, items in ((source, model.graph.input), (target, model.graph.output)):
        items.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        set_dims(items[-1], shape)
    return State(source, target, slot.kind, shape)


def _final(node: onnx.NodeProto, slot: Slot, name: str) -> str:
    """Return the name of a node's final state, which it gets if nothing has read it so far."""
    node.output.extend([""] * (slot.output + 1 - len(node.output)))
    final: str = node.output[slot.output] or name
    node.output[slot.output] = final
    return final


def _connect(node: onnx.NodeProto, slot: Slot, source: str) -> None:
    node.input.extend([""] * (slot.input + 1 - len(node.input)))
    node.input[slot.input] = source


def _expose(model: onnx.ModelProto, final: str, target: str) -> None:
    """Give a final state its name; where it was already an output, that one keeps its own."""
    rename(model, final, target)
    for item in model.graph.output:
        if item.name == target:
            item.name = final
            model.graph.node.append(helper.make_node("Identity", [target], [final], name=f"{target}/Identity"))


def _split(model: onnx.ModelProto, stack: _Stack, slot: Slot, source: str) -> None:
    sizes = numpy_helper.from_array(np.ones(len(stack.layers), np.int64), f"{source}.sizes")
    model.graph.initializer.append(sizes)
    parts = [f"{source}.{i}" for i in range(len(stack.layers))]
    node = helper.make_node("Split", [source, sizes.name], parts, name=f"{source}/Split", axis=0)
    model.graph.node.insert(0, node)
    for layer, part in zip(stack.layers, parts, strict=True):
        _connect(layer, slot, part)
