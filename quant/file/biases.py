"""Adding to biases: to the constant that a node has, or through a new constant or a new Add node."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.arrays import Array, Floats
from ...runtime.cells import BY_NAME
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ...runtime.graph.projected_lstm import with_weights

# The position of the bias among a node's inputs.
POSITIONS = {"Gemm": 2, "Conv": 2, **{name: cell.bias for name, cell in BY_NAME.items()}}


def add_to_bias(graph: Graph, weight: str, added: Floats, to_hidden: Floats | None = None) -> None:
    """Add to the bias of the only node that reads a weight.

    Args:
        graph: The graph to edit. Its indices are those from before the edit.
        weight: Name of the weight.
        added: float32, one value per output channel.
        to_hidden: The same for the bias of R h, in recurrent nodes; None: nothing.
    """
    node = next(n for n in graph.nodes if weight in (with_weights(n) or n).input)
    seen = with_weights(node) or node
    if seen.op_type == "MatMul":
        _after_product(graph, node, added)
        return
    position = POSITIONS[seen.op_type]
    name = seen.input[position] if position < len(seen.input) else ""
    if seen.op_type in BY_NAME and BY_NAME[seen.op_type].biases == 2:
        added = np.concatenate([added, np.zeros_like(added) if to_hidden is None else to_hidden])[None]
    before = graph.constant(name) if name else None
    _store(graph, node, position, name, added if before is None else before + added.reshape(before.shape))


def _after_product(graph: Graph, node: onnx.NodeProto, added: Floats) -> None:
    """Add to the result of a MatMul: to the constant of the Add that follows, or by a new Add."""
    model, result = graph.model.graph, node.output[0]
    adder = graph.only_reader(result)
    if adder is not None and adder.op_type == "Add":
        position = 1 - list(adder.input).index(result)
        constant = graph.constant(adder.input[position])
        if constant is not None:
            _store(graph, adder, position, adder.input[position], constant + added)
            return
    place = list(model.node).index(node)
    node.output[0] = f"{result}.product"
    model.node.insert(place + 1, helper.make_node("Add", [node.output[0], f"{result}.bias"], [result], f"{result}.add"))
    model.initializer.append(numpy_helper.from_array(added, f"{result}.bias"))


def _store(graph: Graph, node: onnx.NodeProto, position: int, name: str, values: Array) -> None:
    """Give a node new values in place of a constant. If other nodes read the constant too, it stays as it is."""
    model = graph.model.graph
    mine = next((tensor for tensor in model.initializer if tensor.name == name), None)
    alone = mine is not None and len(graph.consumers(name)) <= 1
    made = next(output for output in node.output if output)
    stored = numpy_helper.from_array(values.astype(np.float32), name if alone else f"{made}.bias")
    if mine is not None and alone:
        mine.CopyFrom(stored)
        return
    model.initializer.append(stored)
    if node.op_type == "Scan":
        for inner in attributes(node)["body"].node:
            inner.input[:] = [stored.name if read == name else read for read in inner.input]
        return
    node.input.extend([""] * (position + 1 - len(node.input)))
    node.input[position] = stored.name
