"""Signals that hold all frames of a run in one axis, `[batch, frames * values]`: a Reshape takes them apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.cells import CELLS
from ...runtime.graph.graph import Graph
from ..graph.axes import Dims, set_dims, shape_of, sized_model
from ..graph.editing import input_named, unused, value_names
from ..graph.recurrent_nodes import signal_of


@dataclass(frozen=True)
class _Target:
    """The axes that a Reshape gives a flat signal.

    Attributes:
        rank: Their number.
        batch: The axis of streams; None if there is none.
        time: The axis of frames.
        values: The axis of the values of a frame.
        sizes: The number of frames, None if it is free, and the values of each.
    """

    rank: int
    batch: int | None
    time: int
    values: int
    sizes: tuple[int | None, int]


def unfold_frames(model: onnx.ModelProto, source: str) -> Dims:
    """Give a flat signal an axis for frames and one for their values, in place: it becomes `[batch, frames, values]`.

    Args:
        model: A model.
        source: Its signal input.

    Returns:
        The number of frames and the values of each; empty if the signal is not flat.
    """
    item = input_named(model, source)
    dims, readers = shape_of(item), Graph(model).consumers(source)
    if len(dims) != 2 or not readers or item.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        return ()
    targets = [_target(Graph(model), node, dims) for node in readers]
    found = [target for target in targets if target is not None]
    if len(found) < len(targets) or len({target.sizes for target in found}) > 1:
        return ()
    frames, values = found[0].sizes
    if frames is not None and not _runs_over_frames(model, source):
        return ()
    set_dims(item, (dims[0], "frames" if frames is None else frames, values))
    for node, target in zip(readers, found, strict=True):
        _arrange(model, node, target)
    return frames, values


def _runs_over_frames(model: onnx.ModelProto, source: str) -> bool:
    """Return whether recurrent nodes read several frames of a run of one stream."""
    shapes = sized_model(model, source, {0: 1})[1]
    read = [shapes.get(signal_of(node), (None,)) for node in model.graph.node if node.op_type in CELLS]
    return bool(read) and all(isinstance(shape[0], int) and shape[0] > 1 for shape in read)


def _target(graph: Graph, node: onnx.NodeProto, dims: Dims) -> _Target | None:
    """Return the axes that a Reshape gives a flat signal; None if it does not take frames apart."""
    given = graph.constant(node.input[1]) if node.op_type == "Reshape" else None
    if given is None or (isinstance(dims[0], int) and dims[0] != 1):
        return None
    sizes = [int(size) for size in given]
    batch = dims[0] if isinstance(dims[0], int) else -1
    if sizes[:1] == [0] or (sizes[:1] == [-1] and batch < 0):
        sizes[0] = 1  # the axis of streams, which has one entry for each
    elif batch < 0:
        return None
    total = dims[1] if isinstance(dims[1], int) else -1
    if -1 in sizes and total > 0:
        sizes[sizes.index(-1)] = total // max(1, -int(np.prod(sizes)))
    inner = [axis for axis, size in enumerate(sizes) if size != 1]
    if len(inner) == 1 and 0 < inner[0] < len(sizes) - 1:
        inner.append(len(sizes) - 1)  # frames of one value
    if len(inner) != 2 or sizes[inner[1]] < 1 or (total > 0) != (sizes[inner[0]] > 0):
        return None
    time, values = inner
    ones = [axis for axis in range(len(sizes)) if axis not in inner]
    frames = sizes[time] if total > 0 else None
    return _Target(len(sizes), ones[0] if ones else None, time, values, (frames, sizes[values]))


def _arrange(model: onnx.ModelProto, node: onnx.NodeProto, target: _Target) -> None:
    """Replace a Reshape of the flat signal by nodes that arrange the axes of `[batch, frames, values]`."""
    places = {target.batch: 0, target.time: 1, target.values: 2}
    order = [places[place] for place in range(target.rank) if place in places]
    more = [place for place in range(target.rank) if place not in places]
    value, answer, taken, nodes = node.input[0], node.output[0], value_names(model), []
    if target.batch is None:
        nodes.append(_with_axes(model, "Squeeze", value, answer, [0]))
    elif more:
        moved = unused(f"{answer}/moved", taken)
        nodes.append(_made("Transpose", [value], moved, perm=order))
        nodes.append(_with_axes(model, "Unsqueeze", moved, answer, more))
    else:
        nodes.append(_made("Transpose", [value], answer, perm=order))
    place = list(model.graph.node).index(node)
    model.graph.node.remove(node)
    for made in reversed(nodes):
        model.graph.node.insert(place, made)


def _with_axes(model: onnx.ModelProto, operator: str, value: str, answer: str, axes: Sequence[int]) -> onnx.NodeProto:
    name = unused(f"{answer}/axes", value_names(model))
    model.graph.initializer.append(numpy_helper.from_array(np.array(axes, np.int64), name))
    return _made(operator, [value, name], answer)


def _made(operator: str, inputs: list[str], output: str, **given: Any) -> onnx.NodeProto:  # noqa: ANN401  attributes
    return helper.make_node(operator, inputs, [output], f"{output}/{operator}", **given)
