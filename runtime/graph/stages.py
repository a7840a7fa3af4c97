"""A streaming graph that looks ahead, cut into stages.

A stage is one node that answers late (a backward recurrent node or a convolution that looks ahead), or all nodes whose
frames come together. A value that goes from one stage to another waits if its frames come too early.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter

import onnx
from onnx import helper

from ..cells import CELLS
from ..clocks import Clock
from ..contract import Ahead, Blocks, Contract
from ..errors import UnsupportedError
from .graph import Graph
from .nodes import attributes, is_backward, label


def lookaheads(contract: Contract) -> dict[str, int]:
    """Return the frames that each convolution looks ahead, by the name of its node."""
    return {ahead.node: ahead.frames for ahead in contract.ahead}


def clocks_of(graph: Graph, ahead: Mapping[str, int], signal: str) -> dict[str, Clock]:
    """Return the clock of each value that depends on the signal.

    Args:
        graph: A streaming graph, or a graph that export is changing to one.
        ahead: The frames that each convolution looks ahead, by the name of its node.
        signal: The name of the input.

    Raises:
        UnsupportedError: A node joins two values, and neither can wait for the other.
    """
    clocks = {signal: Clock()}
    for node in graph.nodes:
        own = _clock(node, [clocks[name] for name in node.input if name in clocks], ahead)
        if own is not None:
            clocks.update((name, own) for name in node.output if name)
    return clocks


def looking_ahead(
    model: onnx.ModelProto, contract: Contract, blocks: Blocks | None, ahead: tuple[Ahead, ...]
) -> Contract:
    """Return a contract with the blocks and lookaheads of its model, and the most frames that an output waits for."""
    frames = {late.node: late.frames for late in ahead}
    clocks = clocks_of(Graph(model), frames, contract.inputs[0].name)
    lags = [clocks[port.name].lag(blocks) for port in contract.outputs if port.name in clocks]
    lookahead = None if None in lags else max((lag for lag in lags if lag is not None), default=0)
    return replace(contract, lookahead=lookahead, blocks=blocks, ahead=ahead)


def _clock(node: onnx.NodeProto, read: Sequence[Clock], ahead: Mapping[str, int]) -> Clock | None:
    latest = None
    for clock in read:
        if latest is None or latest.leads(clock):
            latest = clock
        elif not clock.leads(latest):
            raise UnsupportedError(
                f"{label(node)}: it joins two values that look ahead, and neither can wait for the other; let only one "
                "of them look ahead, or put one after the other"
            )
    if latest is None:
        return None
    return latest.in_blocks() if is_backward(node) else latest.behind(ahead.get(node.name, 0))


# ---- states ----


@dataclass(frozen=True)
class LayerState:
    """The state of one layer: one entry of a state of the contract, or the whole state.

    Attributes:
        input: The graph input of the state.
        layer: The entry along its first axis; None: the whole state.
        source: The value that the layer starts from.
        target: The value that the layer ends with.
    """

    input: str
    layer: int | None
    source: str
    target: str


def layer_states_of(graph: Graph, contract: Contract) -> list[LayerState]:
    """Return the states, one per layer. The graph of a module with several layers splits and joins its states."""
    found = []
    for state in contract.states:
        split = next((node for node in graph.consumers(state.input) if node.op_type == "Split"), None)
        join = graph.producer(state.output)
        if split is None or join is None or join.op_type != "Concat":
            found.append(LayerState(state.input, None, state.input, state.output))
        else:
            pairs = zip(split.output, join.input, strict=True)
            found += [LayerState(state.input, layer, *pair) for layer, pair in enumerate(pairs)]
    return found


# ---- stages ----


@dataclass
class Stage:
    """Nodes that run together.

    Attributes:
        clock: The clock of its values.
        late: The node of the stage if it answers late; None for other stages.
        ahead: The frames that a convolution looks ahead.
        nodes: The nodes.
        reads: Values that it reads from other stages, and the signal.
        gives: Values that other stages read, and outputs of the graph.
    """

    clock: Clock
    late: onnx.NodeProto | None = None
    ahead: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    gives: list[str] = field(default_factory=list)


def stages_of(
    graph: Graph,
    contract: Contract,
    clocks: Mapping[str, Clock],
    untimed: Collection[str],
    states: Sequence[LayerState],
) -> list[Stage]:
    """Return the stages in the order in which they run.

    Args:
        graph: The graph.
        contract: Its contract.
        clocks: The clocks of its values.
        untimed: Values without a time axis, such as a last frame; a stage that reads one computes it itself.
        states: The states, one per layer; nodes that split or join them are in no stage.
    """
    ahead = lookaheads(contract)
    nodes = [node for node in graph.nodes if not _only_joins(node, states)]
    places, stages = {}, list[Stage]()
    groups: dict[Clock, int] = {}
    for index, node in enumerate(nodes):
        clock = next((clocks[name] for name in node.output if name in clocks), None)
        if clock is None:
            continue  # it depends only on constants or states: see `_with_sources`
        late = is_backward(node) or node.name in ahead
        if late or clock not in groups:
            stages.append(Stage(clock, node if late else None, ahead.get(node.name, 0)))
        if not late:
            groups.setdefault(clock, len(stages) - 1)
        places[index] = len(stages) - 1 if late else groups[clock]
        stages[places[index]].nodes.append(node)
    for stage in stages:
        stage.nodes = _with_sources(nodes, clocks, untimed, stage.nodes)
    _connect({port.name for port in contract.outputs}, stages, clocks)
    return _in_order(stages)


def _only_joins(node: onnx.NodeProto, states: Sequence[LayerState]) -> bool:
    """Return whether a node splits a state into layers or joins layers to a state."""
    layers = [state for state in states if state.layer is not None]
    splits = node.op_type == "Split" and node.input[0] in {state.input for state in layers}
    return splits or (node.op_type == "Concat" and set(node.input) <= {state.target for state in layers})


def _with_sources(
    every: Sequence[onnx.NodeProto],
    clocks: Mapping[str, Clock],
    untimed: Collection[str],
    nodes: Sequence[onnx.NodeProto],
) -> list[onnx.NodeProto]:
    """Return nodes with the nodes that they need: those of constants or states only, and those without a time axis."""
    wanted = {name for node in nodes for name in node.input}
    kept = []
    for node in reversed(every):
        own = any(node.output[:] == other.output[:] for other in nodes)
        loose = node.op_type not in CELLS and all(name not in clocks or name in untimed for name in node.output)
        if own or (wanted.intersection(node.output) and loose):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


def _connect(outputs: Collection[str], stages: Sequence[Stage], clocks: Mapping[str, Clock]) -> None:
    """Fill in the values that each stage reads and gives."""
    for stage in stages:
        made = {name for node in stage.nodes for name in node.output}
        read = dict.fromkeys(name for node in stage.nodes for name in node.input)
        stage.reads = [name for name in read if name in clocks and name not in made]
    wanted = {name for stage in stages for name in stage.reads}.union(outputs)
    for stage in stages:
        stage.gives = [name for node in stage.nodes for name in node.output if name in wanted and name in clocks]


def _in_order(stages: Sequence[Stage]) -> list[Stage]:
    makers = {name: i for i, stage in enumerate(stages) for name in stage.gives}
    needs = {i: {makers[name] for name in stage.reads if name in makers} for i, stage in enumerate(stages)}
    return [stages[i] for i in TopologicalSorter(needs).static_order()]


def stage_model(
    model: onnx.ModelProto, stage: Stage, states: Sequence[LayerState], time: int | None = None
) -> onnx.ModelProto:
    """Return a stage as a model; onnxruntime infers shapes and types.

    Args:
        model: The whole model.
        stage: The stage.
        states: The states, one per layer.
        time: If a convolution of the stage looks ahead, which axis of its kernel is time.
    """
    read = {name for node in stage.nodes for name in node.input}
    made = {name for node in stage.nodes for name in node.output}
    types = {item.name: item for item in (*model.graph.input, *model.graph.value_info)}
    inputs = [*stage.reads, *(state.source for state in states if state.source in read)]
    outputs = [*stage.gives, *(state.target for state in states if state.target in made - set(stage.gives))]
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in read]
    nodes = [_without_pads(node, time) if node is stage.late and time is not None else node for node in stage.nodes]
    graph = helper.make_graph(
        nodes,
        "stage",
        [_typed(types, name) for name in inputs],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        tensors,
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _typed(types: Mapping[str, onnx.ValueInfoProto], name: str) -> onnx.ValueInfoProto:
    """Return a value with its type but no shape; an unknown type is float."""
    known = types.get(name)
    kind = known.type.tensor_type.elem_type if known is not None else 0
    return helper.make_tensor_value_info(name, kind or onnx.TensorProto.FLOAT, None)


def _without_pads(node: onnx.NodeProto, time: int) -> onnx.NodeProto:
    """Return a convolution without padding along time: its input already has the frames before and after."""
    made = onnx.NodeProto()
    made.CopyFrom(node)
    pads = list(attributes(node)["pads"])
    pads[time] = pads[time + len(pads) // 2] = 0
    kept = [attribute for attribute in node.attribute if attribute.name not in ("pads", "auto_pad")]
    del made.attribute[:]
    made.attribute.extend([*kept, helper.make_attribute("pads", pads)])
    return made
