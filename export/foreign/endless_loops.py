"""Loops that never end by themselves: a small file may ask for 2^62 rounds, and each run of it would hang."""

from collections.abc import Iterator

import numpy as np
import onnx

from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import label
from ..graph.editing import inner_graphs
from ..graph.recurrent_nodes import operand

MOST_ROUNDS = 2**20  # of a loop that nothing stops; a loop over frames takes its rounds from the signal


def refuse_endless_loops(model: onnx.ModelProto) -> None:
    """Refuse a Loop with a huge constant number of rounds, or none, whose body never stops it.

    Raises:
        UnsupportedError: There is such a Loop, at any depth.
    """
    for graph in _graphs(model.graph):
        part = onnx.ModelProto()
        part.graph.CopyFrom(graph)
        known = Graph(part)
        for node in graph.node:
            if node.op_type == "Loop" and _rounds(known, node) > MOST_ROUNDS and _goes_on(inner_graphs(node)[0]):
                raise UnsupportedError(
                    f"{label(node)}: nothing stops it within {MOST_ROUNDS} rounds, wanted a loop over frames, or of "
                    "a few rounds; export the model without it"
                )


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for inner in inner_graphs(node):
            yield from _graphs(inner)


def _rounds(graph: Graph, node: onnx.NodeProto) -> float:
    """Return the number of rounds of a Loop; 0 if the graph decides it."""
    name = operand(node, 0)
    count = graph.constant(name) if name else np.array(np.inf)
    return 0 if count is None else float(np.max(count, initial=0))


def _goes_on(body: onnx.GraphProto) -> bool:
    """Return whether the condition of a body is the one that it is given, or constant and true."""
    part = onnx.ModelProto()
    part.graph.CopyFrom(body)
    graph, name = Graph(part), body.output[0].name
    for _ in body.node:
        node = graph.producer(name)
        if node is None or node.op_type != "Identity":
            break
        name = node.input[0]
    value = graph.constant(name)
    return name == body.input[1].name or (value is not None and bool(np.all(value)))
