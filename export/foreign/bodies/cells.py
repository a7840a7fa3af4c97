"""The cells of a step: what it computes of its carried values becomes recurrent nodes of one frame."""

from collections.abc import Collection, Mapping
from os.path import commonprefix

import onnx

from ....runtime.errors import UnsupportedError
from ....runtime.graph.graph import Graph
from ...graph.editing import remove_dead, sort_nodes, unused
from ...graph.markers import forget_markers
from ...rewrites.single_steps import Call, mark_steps, write_single_steps
from ...written_cells.recognizer import WrittenCell, recognize
from ...written_cells.signals import find_signals, groups
from ..carried_values import carried_values

Shapes = Mapping[str, tuple[int, ...]]


def write_cells(model: onnx.ModelProto, states: Mapping[str, str], shapes: Shapes, paths: Collection[str]) -> None:
    """Replace the small operators that make the next states of a step by recurrent nodes of one frame, in place.

    Args:
        model: A model of one step of one stream.
        states: For each carried value the name of the next.
        shapes: The shapes of the model's values.
        paths: The paths of modules that are taken; the last one is that of the step.

    Raises:
        UnsupportedError: The next states are those of no LSTM, GRU or RNN.
    """
    graph, found = Graph(model), list[tuple[WrittenCell, Call, str]]()
    for own in groups(graph, carried_values(model, shapes, states)):
        signals = find_signals(graph, own)
        for each in (*signals, *own):
            if each not in shapes:
                raise UnsupportedError(f"the shape of {each!r} is not known, wanted a known one")
        cell = recognize(graph, {each: shapes[each] for each in (*signals, *own)}, own)
        path = unused(_path(graph, own) or list(paths)[-1], paths)
        found.append((cell, Call(signals, cell.states, [own[state] for state in cell.states]), path))
    for cell, call, path in found:
        mark_steps(model, cell, [call], dict(shapes), f"/{path}")
    write_single_steps(model)
    sort_nodes(model)
    remove_dead(model)
    forget_markers(model)


def _path(graph: Graph, states: Mapping[str, str]) -> str:
    """Return the path that the names of the nodes around the states of a cell have in common."""
    readers = [node.name for state in states for node in graph.consumers(state)]
    makers = [node.name for name in states.values() if (node := graph.producer(name)) is not None]
    return commonprefix([*readers, *makers]).rpartition("/")[0].strip("/")  # noqa: RUF071  names, not paths
