"""Which handler lowers a node: the one of signals, or the one of frames of several axes."""

from collections.abc import Callable, Mapping
from itertools import zip_longest

import onnx

from ..graph.nodes import attributes
from . import grid_functions, grid_moves, pointwise, pooling
from .frame_convolution import conv, linear_at_places
from .grids import sizes_of
from .over_features import REDUCTIONS, SAME_OF_ONE
from .shapes import makes_features
from .trace import Handler, Trace
from .values import FEATURE, ONE, TIME, Carried, Grid, Signal, Value

ALWAYS: dict[str, Handler] = {  # also of signals
    "Conv": conv,
    "Pad": grid_moves.pad,
    "Tile": grid_moves.HANDLERS["Tile"],
    "InstanceNormalization": grid_functions.HANDLERS["InstanceNormalization"],
    **pooling.HANDLERS,
}
OF_GRIDS: dict[str, Handler] = {
    **ALWAYS,
    **grid_moves.HANDLERS,
    **grid_functions.HANDLERS,
    **{name: grid_functions.by_feature(handler) for name, handler in pointwise.HANDLERS.items()},
    "MatMul": linear_at_places,
}


def in_frames(handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """Return handlers of signals that also take frames of several axes."""
    return {**{name: _choosing(name, handler) for name, handler in handlers.items()}, **ALWAYS}


def _choosing(name: str, handler: Handler) -> Handler:
    if name not in OF_GRIDS:
        return handler

    def run(trace: Trace, node: onnx.NodeProto) -> list[Value]:
        read = [trace.values.get(name) for name in node.input]
        grids = any(isinstance(value, Grid) for value in read) or _makes(trace, node)
        grids = grids and not any(isinstance(value, Carried) for value in read)  # a tail is joined with its frames
        return OF_GRIDS[name](trace, node) if grids else handler(trace, node)

    return run


def _makes(trace: Trace, node: onnx.NodeProto) -> bool:
    """Return whether a node works on signals but in a frame of several axes."""
    if node.op_type in pointwise.HANDLERS:
        return _broadcasts(trace, node)
    value = trace.values.get(node.input[0]) if node.input else None
    asks = MAKING.get(node.op_type)
    return isinstance(value, Signal) and asks is not None and asks(trace, node, value)


def _one_is_last(_: Trace, __: onnx.NodeProto, value: Signal) -> bool:
    return value.axes[-1] == ONE


def _over_one(trace: Trace, node: onnx.NodeProto, value: Signal) -> bool:
    """Return whether a function works along an axis of size 1."""
    along = [value.axes[a] for a in _axes(trace, node, len(value.axes)) if -len(value.axes) <= a < len(value.axes)]
    return along != [FEATURE] and {ONE} <= {*along} <= {ONE, FEATURE} and not _is_copy(node, along)


def _along_one(trace: Trace, node: onnx.NodeProto, value: Signal) -> bool:
    """Return whether a node moves values along an axis of size 1."""
    axis = int(attributes(node).get("axis", 0))
    if node.op_type == "Slice":
        starts = trace.integers(node, 1, "starts") or []
        named = trace.integers(node, 3, "axes") or list(range(len(starts)))
        return any(value.axes[a] == ONE for a in named)
    if node.op_type == "Gather":
        index = trace.constant(node, 1)
        return index is not None and index.ndim > 0 and value.axes[axis] == ONE
    return TIME in value.axes and value.axes[axis] == ONE


def _axes(trace: Trace, node: onnx.NodeProto, rank: int) -> list[int]:
    """Return the axes along which a function works."""
    axis = attributes(node).get("axis", -1)
    if node.op_type in REDUCTIONS:
        return trace.integers(node, 1, "axes") or []
    if node.op_type == "LayerNormalization":
        return list(range(axis % rank, rank))
    return [1] if node.op_type == "BatchNormalization" else [axis]


def _is_copy(node: onnx.NodeProto, along: list[str]) -> bool:
    """Return whether a function of one value is that value."""
    return node.op_type in SAME_OF_ONE and FEATURE not in along


def _broadcasts(trace: Trace, node: onnx.NodeProto) -> bool:
    """Return whether the operands of a function widen each other along two axes or more."""
    if not any(isinstance(trace.values.get(name), Signal) for name in node.input):
        return False
    shapes = []
    for name in node.input:
        value, constant = trace.values.get(name), trace.graph.constant(name) if name else None
        if isinstance(value, Signal):
            shapes.append(sizes_of(trace, value))
        elif constant is not None:
            shapes.append(constant.shape)
        elif value is not None:
            return False
    sizes = [max(at) for at in zip_longest(*(shape[::-1] for shape in shapes), fillvalue=1)]
    return sum(size > 1 for size in sizes) > 1


MAKING: dict[str, Callable[[Trace, onnx.NodeProto, Signal], bool]] = {
    **dict.fromkeys(grid_functions.HANDLERS, _over_one),
    **dict.fromkeys(("Slice", "Split", "Gather", "Concat"), _along_one),
    "MatMul": _one_is_last,
    "Expand": makes_features,
}
