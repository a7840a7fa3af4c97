"""Recurrent nodes of an ONNX graph: their states, the options that are refused, and where their states start."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import onnx
from onnx import numpy_helper

from ...runtime.cells import CELLS, STANDARD, StateOperand
from ...runtime.errors import ContractError, ModelError, UnsupportedError
from ...runtime.graph.cell_options import cell_options
from ...runtime.graph.gate import MAX_NODES
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ...runtime.graph.projected_lstm import with_weights

REFUSED_CELLS = ("Scan", "Loop", "DynamicQuantizeLSTM")

_MODULES = "nn.LSTM, nn.GRU or nn.RNN"
ONE_FRAME = (
    "for a forward of one frame per call, let it take all frames of a sequence, or write it for one stream with "
    "torch.onnx.export and give the file to `tidegate lift`"
)
SEQUENCE_LENS = 4  # its position among the inputs

# Operators whose output consists only of values of their first input.
MOVES = frozenset(
    (
        *("Cast", "CastLike", "Expand", "Flatten", "Gather", "Identity", "Reshape"),
        *("Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
    )
)


def recurrent_nodes(graph: Graph) -> list[onnx.NodeProto]:
    """Return the recurrent nodes in file order.

    Raises:
        UnsupportedError: The graph has a recurrent operator that cannot be exported.
        ModelError: There is no recurrent node.
    """
    for node in graph.nodes:
        if node.op_type in REFUSED_CELLS and with_weights(node) is None:
            raise UnsupportedError(
                f"{label(node)}: wanted one of {', '.join(STANDARD)}; use {_MODULES}, or write the model with "
                "torch.onnx.export and give the file to `tidegate lift`"
            )
    found = [node for node in graph.nodes if node.op_type in CELLS]
    if not found:
        raise ModelError(
            f"no recurrent layer found, wanted at least one {_MODULES}, or nn.LSTMCell, nn.GRUCell or nn.RNNCell in a "
            "loop over time (or one written out of other layers, over at least 4 frames, from a state for each "
            f"stream: h.expand(x.shape[0], -1)){_unrolled(graph)}"
        )
    return found


@contextmanager
def explaining(refusal: str | None) -> Iterator[None]:
    """Add to errors why a step that is written out in small operators is no cell; None: there is no such step."""
    try:
        yield
    except ModelError as error:
        if refusal is None or isinstance(error, ContractError):
            raise
        if isinstance(error, UnsupportedError):
            raise UnsupportedError(f"{error}; {refusal}") from error
        raise UnsupportedError(
            f"no recurrent layer found, and {refusal}; a cell that is none of these cannot stream: use {_MODULES}, "
            "or nn.LSTMCell, nn.GRUCell or nn.RNNCell in a loop over time"
        ) from error


def _unrolled(graph: Graph) -> str:
    """Return a hint if a layer may be unrolled into steps: torch's dynamo exporter does so with nn.RNN."""
    steps = sum(node.op_type in ("Tanh", "Relu", "Sigmoid") for node in graph.nodes)
    if graph.model.producer_name != "pytorch" or steps < 2:
        return ""
    return (
        f"; {steps} nodes of Tanh, Relu or Sigmoid may be an unrolled layer: export the module itself "
        "(`tidegate export`), or with torch.onnx.export(..., dynamo=False)"
    )


def name_nodes(model: onnx.ModelProto) -> None:
    """Give each recurrent node that has no name, or a name used before, its own name, in place."""
    taken: set[str] = set()
    for node in model.graph.node:
        if node.op_type in CELLS:
            name = node.name or node.op_type
            node.name = next(n for n in (name, *(f"{name}_{i}" for i in range(1, len(taken) + 2))) if n not in taken)
            taken.add(node.name)


def checked_nodes(graph: Graph, started: Collection[tuple[str, str]] = ()) -> list[onnx.NodeProto]:
    """Return the recurrent nodes in file order; refuse a node whose stream would differ from the model.

    Args:
        graph: The graph.
        started: States that start from inputs of the file: names of nodes and kinds. All others must start from zeros.

    Raises:
        UnsupportedError: A node has another layout, an unknown activation, or sequence lengths, does not start from
            zeros, or is of a kind that cannot be exported.
        ModelError: There is no recurrent node.
    """
    nodes = recurrent_nodes(graph)
    for node in nodes:
        _check_options(node)
        for slot in CELLS[node.op_type].states:
            if (node.name, slot.kind) not in started:
                _check_initial(graph, node, slot)
    return nodes


def _check_options(node: onnx.NodeProto) -> None:
    layout, lengths = attributes(node).get("layout", 0), operand(node, SEQUENCE_LENS)
    if layout != 0:
        raise UnsupportedError(
            f"{label(node)}: layout = {layout}, wanted 0; write the model with the time axis first (layout 0)"
        )
    if lengths:
        raise UnsupportedError(
            f"{label(node)}: sequence_lens = {lengths!r}, wanted none; pack whole sequences, x.size(1) frames of each: "
            "a stream has no padding"
        )
    if node.op_type in STANDARD:
        cell_options(node)


def operand(node: onnx.NodeProto, position: int) -> str:
    """Return the name at a position of a node's inputs; empty if it has no such input."""
    return node.input[position] if position < len(node.input) else ""


def signal_of(node: onnx.NodeProto) -> str:
    """Return the name of a recurrent node's signal input, [time, batch, features]."""
    return operand(node, CELLS[node.op_type].signal)


def state_sizes(graph: Graph, node: onnx.NodeProto) -> tuple[int, ...]:
    """Return the number of values in each state of a recurrent node.

    Raises:
        UnsupportedError: A size does not follow from constants.
    """
    scan = with_weights(node)
    if scan is None:
        return (_hidden_size(graph, node),) * len(CELLS[node.op_type].states)
    projection = graph.constant(scan.input[3])
    if projection is None:
        raise UnsupportedError(f"{label(node)}: its projection {scan.input[3]!r} is not constant, wanted a constant")
    hidden, projected = projection.shape
    return projected, hidden


def _hidden_size(graph: Graph, node: onnx.NodeProto) -> int:
    """Return the number of values in the hidden state of an LSTM, GRU or RNN.

    Raises:
        UnsupportedError: There is neither the attribute nor a constant R.
    """
    size = attributes(node).get("hidden_size")
    if size is not None:
        return int(size)
    weights = graph.constant(operand(node, 2))
    if weights is None:
        raise UnsupportedError(f"{label(node)}: no hidden_size and no constant R, wanted one of them")
    return int(weights.shape[-1])


def _check_initial(graph: Graph, node: onnx.NodeProto, slot: StateOperand) -> None:
    odd = nonzero_source(graph, operand(node, slot.input))
    if odd is not None:
        raise UnsupportedError(
            f"{label(node)}: initial_{slot.kind} comes from {odd}, wanted zeros or "
            "constants that are the same for all streams; hand other states in as arguments of the forward"
        )


def start_from_nothing(graph: Graph, node: onnx.NodeProto, reason: str) -> None:
    """Let a recurrent node start from no value in place of zeros, which may have the size of a fixed batch, in place.

    Args:
        graph: The graph.
        node: The node.
        reason: Why it may not start from anything else, and the way out.

    Raises:
        UnsupportedError: It starts from something else.
    """
    for slot in CELLS[node.op_type].states:
        odd = nonzero_source(graph, operand(node, slot.input))
        if odd is not None:
            raise UnsupportedError(f"{label(node)}: initial_{slot.kind} comes from {odd}, but {reason}")
        if operand(node, slot.input):
            node.input[slot.input] = ""


def nonzero_source(graph: Graph, name: str) -> str | None:
    """Trace a value to its sources; return the first source that is not constant zero, as text, or None.

    Args:
        graph: The graph of the value.
        name: The value; the empty string is an absent input, which means zeros in ONNX.
    """
    waiting, seen = [name], {""}
    while waiting and len(seen) <= MAX_NODES:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        odd, sources = _look(graph, name)
        if odd is not None:
            return odd
        waiting.extend(sources)
    return None


def _look(graph: Graph, name: str) -> tuple[str | None, list[str]]:
    """Return the source of a value if it is not zero; else the values that it is made of."""
    constant = graph.constant(name)
    if constant is not None:
        return (f"the constant {name!r}" if constant.any() else None), []
    node = graph.producer(name)
    if node is None:
        return f"the graph input {name!r}", []
    if node.op_type == "ConstantOfShape":
        filled = attributes(node).get("value")
        odd = filled is not None and numpy_helper.to_array(filled).any()
        return (label(node) if odd else None), []
    if node.op_type in MOVES:
        return None, [node.input[0]]
    if node.op_type == "Concat":
        return None, list(node.input)
    return label(node), []
