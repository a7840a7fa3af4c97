"""Which handler lowers a node: the one of signals, or the one of frames of several axes."""

from collections.abc import Mapping
from itertools import zip_longest

import onnx

from . import grid_functions, grid_moves, pointwise, pooling
from .frame_convolution import conv, linear_at_places
from .grids import is_grid, sizes_of
from .over_features import REDUCTIONS
from .trace import Handler, Trace
from .values import ONE, Signal, Value

ALWAYS: dict[str, Handler] = {  # also of signals
    "Conv": conv,
    "Pad": grid_moves.pad,
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
        grids = any(is_grid(trace.values.get(read)) for read in node.input) or _makes(trace, node)
        return OF_GRIDS[name](trace, node) if grids else handler(trace, node)

    return run


def _makes(trace: Trace, node: onnx.NodeProto) -> bool:
    """Return whether a node works on signals but in a frame of several axes."""
    value = trace.values.get(node.input[0]) if node.input else None
    if node.op_type in pointwise.HANDLERS:
        return _broadcasts(trace, node)
    if node.op_type == "MatMul" and isinstance(value, Signal):
        return value.axes[-1] == ONE
    if node.op_type in REDUCTIONS and isinstance(value, Signal):
        return len(trace.integers(node, 1, "axes") or []) > 1
    return False


def _broadcasts(trace: Trace, node: onnx.NodeProto) -> bool:
    """Return whether the operands of a function widen each other along two axes or more."""
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
