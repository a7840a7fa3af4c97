"""Values that a foreign file carries from frame to frame: parts of its state inputs, and what computes them again.

A file may pack several states into one input. Operators that move values take it apart and put the next one together,
so each part is followed by the numbers of `states.routes`.
"""

from collections.abc import Mapping
from math import prod

import numpy as np
import onnx

from ...runtime.arrays import Array
from ...runtime.graph.graph import Graph
from ..graph.recurrent_nodes import MOVES
from ..states.routes import moved, moved_from, number_inputs


def carried_values(
    model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], pairs: Mapping[str, str]
) -> dict[str, str]:
    """Return the parts of state inputs that a file computes with, each with the name of its next value.

    Parts that no single value computes again are left out.

    Args:
        model: A model whose inputs have fixed sizes, those of one stream.
        shapes: The shapes of its values.
        pairs: State inputs, each with the output that has its next value.
    """
    graph, numbers, found = Graph(model), number_inputs(model), dict[str, str]()
    for name, output in pairs.items():
        fed = _fed(model, graph, shapes, output, numbers[name])
        for part in _parts(graph, name):
            values = moved(model, part, {name: numbers[name]})
            end = None if values is None else fed.get(tuple(values.ravel().astype(int).tolist()))
            if end is not None:
                found[part] = end
    return found


def _parts(graph: Graph, name: str) -> list[str]:
    """Return the values moved from an input that anything else than a move reads."""
    found = [name]
    for node in graph.nodes:
        if node.op_type in MOVES and node.input[0] in found:
            found += node.output
    return [part for part in found if any(node.op_type not in MOVES for node in graph.consumers(part))]


def _fed(
    model: onnx.ModelProto, graph: Graph, shapes: Mapping[str, tuple[int, ...]], output: str, numbers: Array
) -> dict[tuple[int, ...], str]:
    """Return the values that an output is put together from, each by the numbers of the state that it feeds."""
    ends, known, first = moved_from(graph, output), dict[str, Array](), 0
    for end in ends:
        if end not in shapes:
            return {}
        count = prod(shapes[end])
        known[end] = np.arange(first, first + count, dtype=np.float64).reshape(shapes[end])
        first += count
    arrived = moved(model, output, known)
    if arrived is None or arrived.size != numbers.size or first != numbers.size:
        return {}
    order = numbers.ravel()[np.argsort(arrived.ravel())].astype(int).tolist()
    starts = {end: int(values.ravel()[0]) for end, values in known.items()}
    return {tuple(order[start : start + known[end].size]): end for end, start in starts.items()}
