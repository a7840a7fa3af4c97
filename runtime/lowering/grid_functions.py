"""Functions inside a frame of several axes: per feature, and over some of the axes."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import onnx

from ..arrays import Array, Floats
from ..graph.nodes import attributes
from ..operators import Elementwise, LayerNorm, Reduce, Softmax
from .grids import as_grid, grid_of, is_whole, moved, settled
from .over_features import AXIS_IS_LAST, REDUCTIONS, SOFTMAXES, gain_and_shift
from .trace import Handler, Trace, unsupported
from .values import BATCH, FEATURE, ONE, TIME, Grid, Signal, Value
from .weights import flushed

# ---- functions per feature ----


def by_feature(handler: Handler) -> Handler:
    """Return a handler of functions per feature that also takes grids: it sees their features in one order.

    Operands and constants of other shapes are broadcast first, as ONNX says.
    """

    def run(trace: Trace, node: onnx.NodeProto) -> list[Value]:
        operands = {name: grid_of(trace, node, i) for i, name in enumerate(node.input) if _is_value(trace, name)}
        constants = {name: array for name in node.input if (array := trace.graph.constant(name)) is not None}
        axes = _common_axes(node, [*operands.values()])
        shape = np.broadcast_shapes(
            *(g.places.shape for g in operands.values()), *(c.shape for c in constants.values())
        )
        axes = (ONE,) * (len(shape) - len(axes)) + axes
        _refuse_constants(node, axes, constants, max(grid.places.size for grid in operands.values()))
        order = _order(trace, list(operands.values()), shape)
        before = {name: trace.values[name] for name in operands}
        flat = (TIME, FEATURE) if TIME in axes else (FEATURE,)
        for name, grid in operands.items():
            trace.values[name] = Signal(_laid(trace, grid, shape, order), flat)
        trace.laid = {name: _in_order(array, shape, order) for name, array in constants.items() if array.size > 1}
        made = handler(trace, node)
        trace.values.update(before)
        trace.laid = {}
        places = _placed(shape, order)
        return [settled(trace, v.value, axes, places) if isinstance(v, Signal) else v for v in made]

    return run


def _is_value(trace: Trace, name: str) -> bool:
    return bool(name) and trace.graph.constant(name) is None


def _common_axes(node: onnx.NodeProto, grids: Sequence[Grid]) -> tuple[str, ...]:
    """Return what the axes of operands count after broadcasting, aligned from the right."""
    rank = max(len(grid.axes) for grid in grids)
    aligned = [(ONE,) * (rank - len(grid.axes)) + grid.axes for grid in grids]
    kinds = [{axis for axis in at if axis != ONE} for at in zip(*aligned, strict=True)]
    if any(len(kind) > 1 for kind in kinds) or len({TIME in grid.axes for grid in grids}) > 1:
        shown = " and ".join(f"({', '.join(grid.axes)})" for grid in grids)
        raise unsupported(node, f"its operands have axes {shown}")
    return tuple(next(iter(kind), ONE) for kind in kinds)


def _refuse_constants(
    node: onnx.NodeProto, axes: tuple[str, ...], constants: Mapping[str, Array], features: int
) -> None:
    """Refuse a constant that has values along time or along the streams."""
    for array in constants.values():
        own = zip(axes[len(axes) - array.ndim :], array.shape, strict=True)
        if any(size > 1 for axis, size in own if axis in (TIME, BATCH)):
            raise unsupported(
                node, f"its constant {list(array.shape)} must have one value or {features}, along the features"
            )


def _order(trace: Trace, grids: Sequence[Grid], shape: tuple[int, ...]) -> Array:
    """Return the order in which features are computed: that of an operand that then need not move."""
    for grid in grids:
        if grid.places.size == prod(shape) and is_whole(trace, grid):
            return np.argsort(grid.places.ravel())
    return np.arange(prod(shape))


def _laid(trace: Trace, grid: Grid, shape: tuple[int, ...], order: Array) -> int:
    if trace.widths[grid.value] == 1 and np.all(grid.places == 0):
        return grid.value
    return moved(trace, grid.value, _in_order(grid.places, shape, order))


def _placed(shape: tuple[int, ...], order: Array) -> Array:
    """Return the view of a value whose features are in an order."""
    places = np.empty(prod(shape), np.int64)
    places[order] = np.arange(len(places))
    return places.reshape(shape)


def _in_order(array: Array, shape: tuple[int, ...], order: Array) -> Array:
    return np.broadcast_to(array, shape).ravel()[order]


# ---- functions over axes ----


def _last(trace: Trace, node: onnx.NodeProto, grid: Grid, over: Sequence[int]) -> tuple[int, list[int], int]:
    """Return a value with some axes last, the order of the axes, and the features of a part."""
    if any(grid.axes[a] == TIME for a in over):
        raise unsupported(node, f"it works along axes {list(over)} of ({', '.join(grid.axes)}), one of them is time")
    order = [a for a in range(len(grid.axes)) if a not in over] + sorted(over)
    part = prod(grid.places.shape[a] for a in over)
    return moved(trace, grid.value, grid.places.transpose(order)), order, part


def _reduced(grid: Grid, over: Sequence[int]) -> Array:
    sizes = [1 if a in over else size for a, size in enumerate(grid.places.shape)]
    return np.arange(prod(sizes)).reshape(sizes)


def reduced(trace: Trace, node: onnx.NodeProto, grid: Grid, over: Sequence[int], function: str) -> Grid:
    """Emit a reduction over some axes, which keep size 1."""
    value, _, part = _last(trace, node, grid, over)
    made = trace.emit(Reduce((value,), function, part))
    return Grid(made, grid.axes, _reduced(grid, over))


def _reduce(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid, given = grid_of(trace, node), attributes(node)
    numbers = trace.integers(node, 1, "axes") or []
    over = sorted({a % len(grid.axes) for a in numbers}) or list(range(len(grid.axes)))
    made = reduced(trace, node, grid, over, REDUCTIONS[node.op_type])
    if given.get("keepdims", 1):
        return [settled(trace, made.value, made.axes, made.places)]
    kept = [axis for a, axis in enumerate(made.axes) if a not in over]
    return [settled(trace, made.value, kept, made.places.squeeze(tuple(over)))]


def _restored(trace: Trace, grid: Grid, value: int, order: Sequence[int]) -> Signal | Grid:
    """Return a value whose axes are in an order as a view with the axes of a grid."""
    sizes = [grid.places.shape[a] for a in order]
    places = np.arange(grid.places.size).reshape(sizes).transpose(np.argsort(order))
    return settled(trace, value, grid.axes, places)


def _softmax(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid = grid_of(trace, node)
    if trace.graph.opset() < AXIS_IS_LAST:
        raise unsupported(node, f"operator set {trace.graph.opset()} works along several axes, wanted features last")
    axis = int(attributes(node).get("axis", -1)) % len(grid.axes)
    value, order, part = _last(trace, node, grid, [axis])
    return [_restored(trace, grid, trace.emit(Softmax((value,), SOFTMAXES[node.op_type], part)), order)]


def normalized(  # noqa: PLR0917
    trace: Trace, node: onnx.NodeProto, grid: Grid, over: Sequence[int], scale: Array, bias: Array
) -> Signal | Grid:
    """Emit a normalization over some axes; scale and bias are broadcast to the grid."""
    value, order, part = _last(trace, node, grid, over)
    shape = grid.places.shape
    gain, shift = (flushed(node, np.broadcast_to(v, shape).transpose(order).ravel()) for v in (scale, bias))
    epsilon = float(flushed(node, np.asarray(attributes(node).get("epsilon", 1e-5))))
    return _restored(trace, grid, trace.emit(LayerNorm((value,), gain, shift, epsilon, part)), order)


def _layer_norm(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid = grid_of(trace, node)
    first = int(attributes(node).get("axis", -1)) % len(grid.axes)
    scale, bias = (_constant(trace, node, i, default) for i, default in ((1, 1.0), (2, 0.0)))
    return [normalized(trace, node, grid, range(first, len(grid.axes)), scale, bias)]


def _constant(trace: Trace, node: onnx.NodeProto, position: int, default: float) -> Array:
    if position >= len(node.input) or node.input[position] == "":
        return np.asarray(default, np.float32)
    values = trace.constant(node, position)
    if values is None:
        raise unsupported(node, f"its input {node.input[position]!r} is not constant")
    return values


def _of_channels(trace: Trace, node: onnx.NodeProto, grid: Grid, position: int) -> Floats:
    """Return a constant of one value per channel, axis 1, so that it is broadcast to a grid."""
    values, channels = _constant(trace, node, position, 0.0), grid.places.shape[1]
    if values.size != channels:
        raise unsupported(node, f"its input {node.input[position]!r} has {values.size} values, wanted {channels}")
    return flushed(node, values).reshape(-1, *[1] * (len(grid.axes) - 2))


def _instance_norm(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid = grid_of(trace, node)
    scale, bias = (_of_channels(trace, node, grid, i) for i in (1, 2))
    return [normalized(trace, node, grid, range(2, len(grid.axes)), scale, bias)]


def _batch_norm(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid = grid_of(trace, node)
    gain, shift = gain_and_shift(node, *(_of_channels(trace, node, grid, i) for i in range(1, 5)))
    return [with_constant(trace, with_constant(trace, grid, "mul", gain), "add", shift)]


def with_constant(trace: Trace, value: Signal | Grid, function: str, constant: Floats) -> Signal | Grid:
    """Emit a function of each feature and a constant, which is broadcast to the value."""
    grid = as_grid(trace, value)
    shape = grid.places.shape
    order = _order(trace, [grid], shape)
    laid = moved(trace, grid.value, _in_order(grid.places, shape, order))
    made = trace.emit(Elementwise((laid,), function, _in_order(constant, shape, order)))
    return settled(trace, made, grid.axes, _placed(shape, order))


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(SOFTMAXES, _softmax),
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "BatchNormalization": _batch_norm,
}
