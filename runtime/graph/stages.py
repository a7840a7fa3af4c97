"""A streaming graph that looks ahead, cut into parts: what answers late, and what runs frame by frame between it.

A stage is the nodes whose rows come together, or one node that answers late: a recurrent one that runs backward, or a
convolution that looks ahead. Values that go from one stage to another wait where their rows come too early.
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
from .nodes import is_backward, label


def lookaheads(contract: Contract) -> dict[str, int]:
    """Return the frames that convolutions look ahead, by their node's name."""
    return {ahead.node: ahead.frames for ahead in contract.ahead}


def clocks_of(graph: Graph, ahead: Mapping[str, int], signal: str) -> dict[str, Clock]:
    """Return when the rows of each value come that follows from the signal.

    Args:
        graph: A streaming graph, or one on its way to be.
        ahead: Frames that convolutions look ahead, by their node's name.
        signal: The input.

    Raises:
        UnsupportedError: Two values meet of which neither waits for the other.
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
    """Return a contract that says what its model looks ahead, and the most frames that an output waits for."""
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
                f"{label(node)}: it joins values that look ahead in ways of which neither waits for the other; let one "
                "of them look ahead alone, or put them one behind the other"
            )
    if latest is None:
        return None
    return latest.in_blocks() if is_backward(node) else latest.behind(ahead.get(node.name, 0))


# ---- states ----


@dataclass(frozen=True)
class Part:
    """A row of a state, or all of it: that of one layer, which has a stage of its own.

    Attributes:
        state: The state's input.
        row: The row; None: all of them.
        source: The value that the layer starts from.
        target: The value that it ends with.
    """

    state: str
    row: int | None
    source: str
    target: str


def parts_of(graph: Graph, contract: Contract) -> list[Part]:
    """Return the states by layers: a file splits and joins them, if a module has several."""
    found = []
    for state in contract.states:
        split = next((node for node in graph.consumers(state.input) if node.op_type == "Split"), None)
        join = graph.producer(state.output)
        if split is None or join is None or join.op_type != "Concat":
            found.append(Part(state.input, None, state.input, state.output))
        else:
            pairs = zip(split.output, join.input, strict=True)
            found += [Part(state.input, row, *pair) for row, pair in enumerate(pairs)]
    return found


# ---- stages ----


@dataclass
class Stage:
    """Nodes that run together.

    Attributes:
        clock: When its rows come.
        late: The node that answers late, alone in its stage; else None.
        ahead: Frames that it looks ahead, of a convolution.
        nodes: The nodes.
        reads: Values of other stages, or the signal.
        gives: Values that others read, and outputs of the graph.
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
    parts: Sequence[Part],
) -> list[Stage]:
    """Return the stages in an order in which they can run.

    Args:
        graph: The graph.
        contract: Its contract.
        clocks: When the rows of its values come.
        untimed: Values without a row for each frame, such as the last frame: they are taken where they are read.
        parts: The states by layers; what splits and joins them is in no stage.
    """
    ahead = lookaheads(contract)
    nodes = [node for node in graph.nodes if not _only_joins(node, parts)]
    places, stages = {}, list[Stage]()
    groups: dict[Clock, int] = {}
    for index, node in enumerate(nodes):
        clock = next((clocks[name] for name in node.output if name in clocks), None)
        if clock is None:
            continue  # it follows from constants or states alone: see `_with_sources`
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


def _only_joins(node: onnx.NodeProto, parts: Sequence[Part]) -> bool:
    """Return whether a node splits or joins the rows of a state."""
    rows = [part for part in parts if part.row is not None]
    splits = node.op_type == "Split" and node.input[0] in {part.state for part in rows}
    return splits or (node.op_type == "Concat" and set(node.input) <= {part.target for part in rows})


def _with_sources(
    every: Sequence[onnx.NodeProto],
    clocks: Mapping[str, Clock],
    untimed: Collection[str],
    nodes: Sequence[onnx.NodeProto],
) -> list[onnx.NodeProto]:
    """Return nodes behind those that they need which follow from constants or states, or have no row for each frame."""
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
    """Find out what goes from stage to stage."""
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


def stage_model(model: onnx.ModelProto, stage: Stage, parts: Sequence[Part]) -> onnx.ModelProto:
    """Return a stage as a model of its own; shapes and types are left to inference.

    Args:
        model: The whole.
        stage: The stage.
        parts: The states by layers.
    """
    read = {name for node in stage.nodes for name in node.input}
    made = {name for node in stage.nodes for name in node.output}
    types = {item.name: item for item in (*model.graph.input, *model.graph.value_info)}
    inputs = [*stage.reads, *(part.source for part in parts if part.source in read)]
    outputs = [*stage.gives, *(part.target for part in parts if part.target in made - set(stage.gives))]
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in read]
    nodes = [_without_pads(node) if node is stage.late and stage.ahead else node for node in stage.nodes]
    graph = helper.make_graph(
        nodes,
        "stage",
        [_typed(types, name) for name in inputs],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        tensors,
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _typed(types: Mapping[str, onnx.ValueInfoProto], name: str) -> onnx.ValueInfoProto:
    """Return a value with its type alone: float where nothing is known."""
    known = types.get(name)
    kind = known.type.tensor_type.elem_type if known is not None else 0
    return helper.make_tensor_value_info(name, kind or onnx.TensorProto.FLOAT, None)


def _without_pads(node: onnx.NodeProto) -> onnx.NodeProto:
    """Return a convolution of frames that have those before and behind them beside them."""
    made = onnx.NodeProto()
    made.CopyFrom(node)
    kept = [attribute for attribute in node.attribute if attribute.name not in ("pads", "auto_pad")]
    del made.attribute[:]
    made.attribute.extend([*kept, helper.make_attribute("pads", [0, 0])])
    return made
