"""The cells of a step: what it computes of its carried values becomes recurrent nodes of one frame."""

from collections.abc import Collection, Mapping
from os.path import commonprefix

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ....runtime.errors import UnsupportedError
from ....runtime.graph.cell_options import cell_options
from ....runtime.graph.graph import Graph
from ....runtime.graph.projected_lstm import PEEPHOLES, projected_lstm
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
        if cell.projection is None:
            mark_steps(model, cell, [call], dict(shapes), f"/{path}")
        else:
            _write_projected(model, cell, call, f"/{path}/LSTM")
    write_single_steps(model)
    sort_nodes(model)
    remove_dead(model)
    forget_markers(model)


def _path(graph: Graph, states: Mapping[str, str]) -> str:
    """Return the path that the names of the nodes around the states of a cell have in common."""
    readers = [node.name for state in states for node in graph.consumers(state)]
    makers = [node.name for name in states.values() if (node := graph.producer(name)) is not None]
    return commonprefix([*readers, *makers]).rpartition("/")[0].strip("/")  # noqa: RUF071  names, not paths


def _write_projected(model: onnx.ModelProto, cell: WrittenCell, call: Call, name: str) -> None:
    """Replace the nodes of an LSTM with projection by its Scan over one frame, in place."""
    for node in model.graph.node:
        node.output[:] = [f"{name}/was_{made}" if made in call.nexts else made for made in node.output]
    tensors = {f"{name}/{key}": values for key, values in _projected_weights(cell).items()}
    tensors[f"{name}/axis"] = np.array([0], np.int64)
    model.graph.initializer.extend(numpy_helper.from_array(values, key) for key, values in tensors.items())
    joined = call.signals[0] if len(call.signals) == 1 else f"{name}/signals"
    reads, made = ([f"{name}/{key}" for key in keys] for keys in (("h_0", "c_0", "frame"), ("h_n", "c_n", "frame_y")))
    nodes = [helper.make_node("Concat", call.signals, [joined], joined, axis=-1)] if joined not in call.signals else []
    for before, after in zip((*call.starts, joined), reads, strict=True):
        nodes.append(helper.make_node("Unsqueeze", [before, f"{name}/axis"], [after], after))
    weights = {key: f"{name}/{key}" for key in _projected_weights(cell)}
    options = cell_options(helper.make_node("LSTM", [], [""], name, **cell.attributes))
    nodes.append(projected_lstm(name, reads, made, weights, options))
    for before, after in zip(made, call.nexts, strict=False):
        nodes.append(helper.make_node("Squeeze", [before, f"{name}/axis"], [after], f"{before}/Squeeze"))
    model.graph.node.extend(nodes)


def _projected_weights(cell: WrittenCell) -> dict[str, np.ndarray]:
    """Return the weights of an LSTM with projection in the layout of its Scan."""
    w, r, b = (cell.weights[key][0] for key in "WRB")
    found = {"W": w.T, "R": r.T, "P": np.transpose(cell.projection), "B": b.reshape(2, -1).sum(0)}  # type: ignore[arg-type]
    found |= {PEEPHOLES: cell.weights["P"][0]} if "P" in cell.weights else {}
    return {key: np.ascontiguousarray(values) for key, values in found.items()}
