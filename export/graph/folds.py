"""Recurrent layers whose batch holds more than the streams.

A layer along time may have the bands of a spectrum in its batch: each band is a row with a state of its own. A layer
along the bands has the frames in its batch: it runs inside a frame, starts again in each frame, and carries nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.cells import CELLS
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import is_backward, label
from .axes import Axes, Dims, batch_of
from .editing import copied, set_nodes, unused, value_names
from .recurrent_nodes import recurrent_nodes, signal_of, start_from_nothing

_CALL_WITHOUT = "call it without an initial state"


@dataclass(frozen=True)
class Folds:
    """What the batches of recurrent nodes hold besides the streams.

    Attributes:
        rows: For nodes along time with several rows per stream, by name: the axes of their batch, the streams among
            them as `batch` or 1.
        inside: The names of the nodes that run inside a frame.
    """

    rows: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    inside: frozenset[str] = frozenset()


def settle_folds(
    model: onnx.ModelProto,
    dims: dict[str, Dims],
    axes: Axes,
    starts: Collection[tuple[str, str]],
    handed: Collection[tuple[str, str]] = (),
) -> Folds:
    """Let the nodes inside a frame start from nothing and run forward, in place; return what all batches hold.

    Args:
        model: A model.
        dims: The shapes of its values, from `axes.trace_dims`.
        axes: Its axes, from `axes.find_axes`.
        starts: The states that start from constants other than zeros: nodes and kinds of their states.
        handed: The states that a caller hands in.

    Raises:
        UnsupportedError: A node inside a frame does not start from zeros, or is an LSTM with projection.
    """
    folds = find_folds(model, dims, axes)
    refuse_starts(folds, starts, "not zeros", "train it from zeros")
    refuse_starts(folds, handed, "handed in", _CALL_WITHOUT)
    run_inside(model, dims, folds.inside)
    return folds


def find_folds(model: onnx.ModelProto, dims: Mapping[str, Dims], axes: Axes) -> Folds:
    """Return what the batches of a model's recurrent nodes hold.

    Args:
        model: A model.
        dims: The shapes of its values, from `axes.trace_dims`.
        axes: Its axes, from `axes.find_axes`.
    """
    graph = Graph(model)
    nodes = recurrent_nodes(graph)
    inside = frozenset(node.name for node in nodes if isinstance(dims[signal_of(node)][0], int))
    rows = {node.name: _rows(axes.named(batch_of(graph, dims, node))) for node in nodes if node.name not in inside}
    return Folds({name: own for name, own in rows.items() if len(own) > 1}, inside)


def _rows(batch: Dims) -> tuple[int | str, ...]:
    """Return the axes of a batch without those of size 1, but with one for the streams."""
    wide = tuple(size for size in batch if size is not None and size != 1)
    return wide if "batch" in wide else (1, *wide)


def refuse_starts(folds: Folds, starts: Collection[tuple[str, str]], seen: str, way_out: str) -> None:
    """Refuse nodes inside a frame that start from other states than zeros, given by node and kind of state.

    Raises:
        UnsupportedError: There is such a node.
    """
    for name, kind in starts:
        if name in folds.inside:
            raise UnsupportedError(f"{name!r}: its initial {kind} is {seen}, but it runs inside each frame; {way_out}")


def run_inside(model: onnx.ModelProto, dims: dict[str, Dims], inside: frozenset[str]) -> None:
    """Let the nodes inside a frame start from nothing and run forward, in place; a backward one reads the frame turned.

    Raises:
        UnsupportedError: Such a node does not start from zeros.
    """
    graph, nodes = Graph(model), list[onnx.NodeProto]()
    for node in model.graph.node:
        if node.op_type not in CELLS or node.name not in inside:
            nodes.append(node)
            continue
        _start_from_nothing(graph, node)
        nodes += _turned(model, dims, node) if is_backward(node) else [node]
    set_nodes(model, nodes)


def _start_from_nothing(graph: Graph, node: onnx.NodeProto) -> None:
    if node.op_type == "Scan":
        raise UnsupportedError(
            f"{label(node)}: an LSTM with projection runs over an axis inside each frame, wanted one along time; "
            "leave the projection out there"
        )
    start_from_nothing(graph, node, f"it starts again in each frame, from zeros; {_CALL_WITHOUT}")


def _turned(model: onnx.ModelProto, dims: dict[str, Dims], node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return a backward node as a forward one that reads its steps from the last to the first."""
    steps, taken = cast("int", dims[node.input[0]][0]), value_names(model)
    names = {key: unused(f"{node.name}/{key}", taken) for key in ("order", "steps", "Y")}
    order = numpy_helper.from_array(np.arange(steps)[::-1].copy(), names["order"])
    model.graph.initializer.append(order)
    made = copied(node, node.input, node.output, ["direction"])
    before = helper.make_node("Gather", [node.input[0], order.name], [names["steps"]], names["steps"], axis=0)
    made.input[0] = names["steps"]
    dims[names["steps"]] = dims[node.input[0]]
    if not node.output[0]:
        return [before, made]
    made.output[0] = names["Y"]
    dims[names["Y"]] = dims[node.output[0]]
    after = helper.make_node("Gather", [names["Y"], order.name], [node.output[0]], names["Y"], axis=0)
    return [before, made, after]
