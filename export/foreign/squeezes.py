"""Reshapes that only drop or add axes of size 1: exporters write them with sizes of the example.

After an LSTM torch's dynamo exporter transposes [time, directions, batch, hidden] to [time, batch, directions, hidden]
and reshapes that to three axes. The target has sizes computed in the graph or, with time first, the number of frames in
the example. In the second case the file works for that number only, although it declares any number. Keras's tensordot
drops an axis before its product and adds it after, both for one frame.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.cells import STANDARD
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.axes import Dims, shape_of, sized_model
from ..graph.editing import input_named, unused, value_names
from ..graph.recurrent_nodes import operand

_AXES_OF_Y = 4  # [time, directions, batch, hidden]
_OPEN = (1009, 1021, 1033, 1049, 1061, 1069, 1087, 1091)  # primes: no product of fixed sizes is one of them


def name_dropped_axes(model: onnx.ModelProto, source: str) -> dict[int, int]:
    """Replace each Reshape that only drops or adds axes of size 1 by a Squeeze or Unsqueeze, in place.

    Args:
        model: An ONNX model.
        source: Its signal input.

    Returns:
        The sizes of the example that Reshapes had as targets, by the axis of the signal.
    """
    declared = shape_of(input_named(model, source))
    open_axes = [i for i, size in enumerate(declared) if not isinstance(size, int)]
    sizes = dict(zip(open_axes, _OPEN, strict=False))
    shapes = sized_model(model, source, sizes or {-1: _OPEN[-1]})[1]
    several = _with_several_streams(model, source, declared, sizes)
    graph, taken, frozen = Graph(model), value_names(model), dict[int, int]()
    for node in [node for node in model.graph.node if node.op_type == "Reshape"]:
        axes, added = _only_ones(node, shapes)
        target = graph.constant(operand(node, 1))
        if target is None and (axes, added) != _only_ones(node, several):
            continue  # what it drops is the one stream of the file
        if not axes and not added:
            axes, found = _frozen(shapes.get(node.input[0], (None,)), target)
            frozen |= {axis: found[size] for axis, size in sizes.items() if size in found}
        if axes or added:
            axes = _directions_first(graph, node, shapes, axes)
            name = unused(f"{node.output[0]}/axes", taken)
            taken.add(name)
            model.graph.initializer.append(numpy_helper.from_array(np.array(axes or added, np.int64), name))
            operator = "Squeeze" if axes else "Unsqueeze"
            node.CopyFrom(helper.make_node(operator, [node.input[0], name], [node.output[0]], node.name))
    return frozen


def _directions_first(graph: Graph, node: onnx.NodeProto, shapes: dict[str, Dims], axes: list[int]) -> list[int]:
    """Return the one dropped axis: that of a layer's directions, if dropping it gives the same shape as any other."""
    maker, before = graph.producer(node.input[0]), list(shapes.get(node.input[0], ()))
    order = attributes(maker).get("perm") if maker is not None and maker.op_type == "Transpose" else None
    layer = graph.producer(maker.input[0]) if maker is not None and order else maker
    if len(axes) != 1 or layer is None or layer.op_type not in STANDARD or len(before) != _AXES_OF_Y:
        return axes
    directions = order.index(1) if order else 1
    left = [[*before[:axis], *before[axis + 1 :]] for axis in (*axes, directions)]
    return [directions] if left[0] == left[1] else axes


def _with_several_streams(
    model: onnx.ModelProto, source: str, declared: Dims, sizes: dict[int, int]
) -> dict[str, Dims]:
    """Return the shapes if each axis of size 1 of the signal had another size: one of them may count streams."""
    ones = [axis for axis, size in enumerate(declared) if size == 1]
    more = sizes | dict(zip(ones, _OPEN[len(sizes) :], strict=False))
    return sized_model(model, source, more or {-1: _OPEN[-1]})[1]


def _only_ones(node: onnx.NodeProto, shapes: dict[str, Dims]) -> tuple[list[int], list[int]]:
    """Return the axes of size 1 that a Reshape drops, and those that it adds, if it does no more than that."""
    before, after = shapes.get(node.input[0], (None,)), shapes.get(node.output[0], (None,))
    return dropped_ones(before, after), dropped_ones(after, before)


def dropped_ones(before: Dims, after: Dims) -> list[int]:
    """Return the axes of size 1 that must be dropped from one shape to get the other; none if that is not enough."""
    axes, rest = [], list(after)
    for axis, size in enumerate(before):
        if rest and rest[0] == size and (size != 1 or len(before) - axis == len(rest)):
            rest.pop(0)
        elif size == 1:
            axes.append(axis)
        else:
            return []
    return axes if None not in before and not rest else []


def _frozen(before: Dims, target: Sequence[int] | np.ndarray | None) -> tuple[list[int], dict[int, int]]:
    """Return the axes that a Reshape drops if its target has sizes of the example, and these by the open size.

    [time, batch, 1, hidden] to [9, -1, hidden] is such a Reshape: it only makes sense for 9 frames, and drops the 1.
    """
    rest = [size for size in before if size != 1]
    stated = [] if target is None else [int(size) for size in target if size != 1]
    if target is None or len(rest) != len(stated) or stated.count(-1) > 1:
        return [], {}
    pairs = [(size, wanted) for size, wanted in zip(rest, stated, strict=True) if wanted not in (-1, size)]
    following = iter(rest)
    axes = dropped_ones(before, tuple(1 if size == 1 else next(following) for size in target))
    if not axes or any(size not in _OPEN or wanted < 1 for size, wanted in pairs):
        return [], {}
    return axes, {size: wanted for size, wanted in pairs if isinstance(size, int)}
