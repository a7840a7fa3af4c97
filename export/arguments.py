"""Arguments of a forward behind its signal, in the graph: states that it hands in, and lengths to pack sequences by.

A stream starts from zeros and every frame of it counts: so both become constants, and the states are lifted anew.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from ..runtime.arrays import Array
from ..runtime.errors import UnsupportedError
from ..runtime.graph import Graph, attributes, label
from .axes import Dims, sized_model
from .folding import fold_constants
from .recurrent import CELLS, MOVES, SEQUENCE_LENS, operand, signal_of

_PERMUTING = ("TopK", "ScatterElements")  # what sorting sequences by their lengths becomes, and back

Unit = tuple[str, str]
"""A recurrent node, by its name, and the kind of one of its states."""


def fill_arguments(model: onnx.ModelProto, values: Mapping[str, Array]) -> None:
    """Make inputs of the graph constants, in place."""
    kept = [item for item in model.graph.input if item.name not in values]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())


def started_by(model: onnx.ModelProto, inputs: Collection[str]) -> dict[Unit, str]:
    """Return which of some inputs of the graph each state of a recurrent node starts from."""
    graph = Graph(model)
    found: dict[Unit, str] = {}
    for node in graph.nodes:
        for slot in CELLS[node.op_type].slots if node.op_type in CELLS else ():
            ends = _ends(graph, operand(node, slot.input)) & set(inputs)
            if len(ends) == 1:
                found[node.name, slot.kind] = ends.pop()
    return found


def refuse_read(model: onnx.ModelProto, names: Iterable[str]) -> None:
    """Refuse states that are read anywhere else than where a recurrent node starts.

    Raises:
        UnsupportedError: One is.
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
                        f"argument {name!r}: {label(reader)} reads it, wanted as the initial state of nn.LSTM, nn.GRU, "
                        "nn.RNN or a cell of them alone"
                    )


def _initials(node: onnx.NodeProto) -> list[str]:
    slots = CELLS[node.op_type].slots if node.op_type in CELLS else ()
    return [operand(node, slot.input) for slot in slots]


def unpack_sequences(model: onnx.ModelProto, source: str, shape: Sequence[int]) -> None:
    """Let recurrent nodes read whole sequences where they read lengths that are those of whole ones, in place.

    `pack_padded_sequence` becomes such lengths and, with `enforce_sorted=False`, a permutation of the batch. What is
    taken as whole at the sizes of the example is held against the module at others by the proof.

    Args:
        model: A translated model.
        source: Its signal input.
        shape: The shape of the example.
    """
    packed = [node for node in model.graph.node if node.op_type in CELLS and operand(node, SEQUENCE_LENS)]
    if not packed or any(node.op_type == "Scan" for node in packed):
        return
    sized, dims = sized_model(model, source, dict(enumerate(shape)))
    fold_constants(sized)
    values, graph = Graph(sized), Graph(model)
    for node in packed:
        lengths, frames = values.constant(operand(node, SEQUENCE_LENS)), dims.get(signal_of(node), (None,))[0]
        if lengths is not None and np.all(lengths == frames):
            node.input[SEQUENCE_LENS] = ""
    for node in model.graph.node:
        if node.op_type == "Gather" and _keeps_order(graph, values, node, dims):
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]


def _keeps_order(graph: Graph, values: Graph, node: onnx.NodeProto, dims: Mapping[str, Dims]) -> bool:
    """Return whether a Gather by a permutation that sorts lengths leaves all at its place."""
    order, shape = values.constant(node.input[1]), dims.get(node.input[0])
    axis = attributes(node).get("axis", 0)
    if order is None or shape is None or order.shape != (shape[axis],) or not np.all(order == np.arange(len(order))):
        return False
    maker = graph.producer(node.input[1])
    while maker is not None and maker.op_type in ("Cast", "Identity"):
        maker = graph.producer(maker.input[0])
    return maker is not None and maker.op_type in _PERMUTING


def _ends(graph: Graph, name: str) -> set[str]:
    """Return where a value comes from, past what only moves and joins."""
    waiting, seen, ends = [name], set[str](), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or not name:
            continue
        seen.add(name)
        node = graph.producer(name)
        if node is None or node.op_type not in (*MOVES, "Concat"):
            ends.add(name)
        else:
            waiting.extend(node.input if node.op_type == "Concat" else node.input[:1])
    return ends
