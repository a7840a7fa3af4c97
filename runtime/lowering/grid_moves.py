"""Operators that move values inside a frame of several axes: each changes the view of a value and emits nothing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from ..arrays import Array
from ..graph.nodes import attributes
from ..operators import Concat, Last
from .grids import grid_of, regrouped, settled
from .select import END, bounds_of, sizes_of_parts
from .shapes import sizes_asked_for, target_of
from .trace import Handler, Trace, unsupported
from .values import BATCH, FEATURE, ONE, TIME, Grid, Signal, Value


def _transpose(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid = grid_of(trace, node)
    order = attributes(node).get("perm") or range(len(grid.axes))[::-1]
    return [settled(trace, grid.value, [grid.axes[i] for i in order], grid.places.transpose(order))]


def _squeeze(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid = grid_of(trace, node)
    removed = {a % len(grid.axes) for a in trace.integers(node, 1, "axes") or []}
    if not removed or any(grid.axes[a] not in (ONE, BATCH) for a in removed):
        raise unsupported(node, f"it removes axes {sorted(removed)} of ({', '.join(grid.axes)})")
    kept = [axis for a, axis in enumerate(grid.axes) if a not in removed]
    return [settled(trace, grid.value, kept, grid.places.squeeze(tuple(removed)))]


def _unsqueeze(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid, added = grid_of(trace, node), trace.integers(node, 1, "axes") or []
    places, axes = np.expand_dims(grid.places, tuple(added)), list(grid.axes)
    for a in sorted(a % places.ndim for a in added):
        axes.insert(a, ONE)
    return [settled(trace, grid.value, axes, places)]


def _shape(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid = grid_of(trace, node)
    pairs = zip(grid.axes, grid.places.shape, strict=True)
    return [sizes_asked_for(node, [axis if axis in (TIME, BATCH) else size for axis, size in pairs])]


def _reshape(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    return [_reshaped(trace, node, grid_of(trace, node), target_of(trace, node))]


def _reshaped(trace: Trace, node: onnx.NodeProto, grid: Grid, target: Sequence[int | str]) -> Signal | Grid:
    axes, sizes = regrouped(node, grid.axes, grid.places.shape, target)
    return settled(trace, grid.value, axes, grid.places.reshape(sizes))


def _flatten(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid = grid_of(trace, node)
    axis = int(attributes(node).get("axis", 1)) % (len(grid.axes) + 1)
    groups = grid.axes[:axis], grid.axes[axis:]
    target = [TIME if TIME in group else int(np.prod(grid.places.shape[at : at + len(group)])) for at, group in
              zip((0, axis), groups, strict=True)]  # fmt: skip
    return [_reshaped(trace, node, grid, target)]


def _expand(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid, target = grid_of(trace, node), target_of(trace, node)
    rank = max(len(target), len(grid.axes))
    axes = (*[ONE] * (rank - len(grid.axes)), *grid.axes)
    sizes = [*[1] * (rank - len(target)), *(1 if isinstance(size, str) else size for size in target)]
    wide = [axis for axis, size in zip(axes, sizes, strict=True) if size > 1]
    if TIME in wide or BATCH in wide or (TIME in target and TIME not in axes):
        raise unsupported(node, f"it widens ({', '.join(grid.axes)}) to {list(target)}, wanted features only")
    places = np.broadcast_to(grid.places, np.broadcast_shapes(grid.places.shape, tuple(sizes)))
    return [settled(trace, grid.value, axes, places)]


def _tile(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid, repeats = grid_of(trace, node), trace.integers(node, 1, "repeats")
    if repeats is None or any(n != 1 for n, a in zip(repeats, grid.axes, strict=True) if a in (TIME, BATCH)):
        raise unsupported(node, f"it repeats ({', '.join(grid.axes)}) {repeats} times, wanted features only")
    return [settled(trace, grid.value, grid.axes, np.tile(grid.places, repeats))]


def _gather(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid, index = grid_of(trace, node), trace.constant(node, 1)
    if index is None:
        raise unsupported(node, "the engine takes constant indices")
    axis = int(attributes(node).get("axis", 0)) % len(grid.axes)
    kind = grid.axes[axis]
    places = np.take(grid.places, index.astype(np.int64), axis) if kind in (FEATURE, ONE) else grid.places
    if kind in (TIME, BATCH):
        if index.ndim or int(index) not in ((-1,) if kind == TIME else (0, -1)):
            raise unsupported(node, f"it takes {index.tolist()} of the {kind} axis, wanted {-1 if kind == TIME else 0}")
        value = trace.emit(Last((grid.value,))) if kind == TIME else grid.value
        return [settled(trace, value, _replaced(grid.axes, axis, []), grid.places.squeeze(axis))]
    return [settled(trace, grid.value, _replaced(grid.axes, axis, [FEATURE] * index.ndim), places)]


def _replaced(axes: Sequence[str], axis: int, by: Sequence[str]) -> list[str]:
    return [*axes[:axis], *by, *axes[axis + 1 :]]


def _cut(trace: Trace, node: onnx.NodeProto, grid: Grid, axis: int, bounds: slice) -> Grid:
    """Select a part of one axis."""
    kind = grid.axes[axis]
    if kind in (FEATURE, ONE):
        places = grid.places[(slice(None),) * axis + (bounds,)]
        if not places.size:
            raise unsupported(node, f"it takes nothing of axis {axis} of {grid.places.shape[axis]}")
        return replace(grid, places=places)
    if kind == TIME and bounds.start == -1 and bounds.stop > END and bounds.step == 1:
        return Grid(trace.emit(Last((grid.value,))), tuple(_replaced(grid.axes, axis, [ONE])), grid.places)
    if bounds.start == 0 and bounds.stop > END and bounds.step == 1:
        return grid
    raise unsupported(node, f"it cuts the {kind} axis from {bounds.start} to {bounds.stop}, wanted features")


def _slice(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid = grid_of(trace, node)
    for axis, bounds in bounds_of(trace, node):
        grid = _cut(trace, node, grid, axis % len(grid.axes), bounds)
    return [settled(trace, grid.value, grid.axes, grid.places)]


def _split(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid = grid_of(trace, node)
    axis = int(attributes(node).get("axis", 0)) % len(grid.axes)
    size = grid.places.shape[axis]
    sizes = sizes_of_parts(trace, node, size)
    if grid.axes[axis] not in (FEATURE, ONE) or sum(sizes) != size or min(sizes) < 1:
        raise unsupported(node, f"it splits axis {axis} of ({', '.join(grid.axes)}) into {sizes}, wanted {size} values")
    parts = np.split(grid.places, np.cumsum(sizes)[:-1], axis)
    return [settled(trace, grid.value, grid.axes, part) for part in parts]


def _concat(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grids = [grid_of(trace, node, i) for i in range(len(node.input))]
    return [joined(trace, node, grids, int(attributes(node)["axis"]))]


def joined(trace: Trace, node: onnx.NodeProto, grids: Sequence[Grid], axis: int) -> Signal | Grid:
    """Join grids along an axis of features; the views are joined, and the values one after the other."""
    first = grids[0]
    kinds = [tuple(a if a in (TIME, BATCH) else FEATURE for a in grid.axes) for grid in grids]
    shapes = {tuple(np.delete(grid.places.shape, axis)) for grid in grids}
    if len(set(kinds)) > 1 or len(shapes) > 1 or kinds[0][axis] != FEATURE:
        shown = "; ".join(", ".join(grid.axes) for grid in grids)
        raise unsupported(node, f"it joins ({shown}) along axis {axis}, wanted features of one shape")
    value, places = first.value, [first.places]
    starts = {first.value: 0}
    for grid in grids[1:]:
        if grid.value not in starts:
            starts[grid.value] = trace.widths[value]
            value = trace.emit(Concat((value, grid.value)))
        places.append(np.where(grid.places < 0, -1, grid.places + starts[grid.value]))
    return settled(trace, value, kinds[0], np.concatenate(places, axis))


def pad(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Follow padding inside a frame: mirrored values, repeated values, or zeros."""
    grid, pads = grid_of(trace, node), trace.integers(node, 1, "pads")
    given, rank = attributes(node), len(grid.axes)
    mode, value = given.get("mode", "constant"), trace.constant(node, 2)
    axes = trace.integers(node, 3, "axes") or list(range(rank))
    if pads is None or len(pads) != 2 * len(axes):
        raise unsupported(node, "its pads are not constants for every axis")
    ends = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        ends[axis] = pads[i], pads[i + len(axes)]
    if any(ends[i] != (0, 0) for i, axis in enumerate(grid.axes) if axis in (TIME, BATCH)) or min(pads) < 0:
        raise unsupported(node, f"its pads are {pads}, wanted padding of the features only")
    if mode not in ("constant", "reflect", "edge") or (mode == "constant" and value is not None and np.any(value)):
        raise unsupported(node, f"its mode is {mode!r}, wanted reflect, edge, or zeros")
    if mode == "reflect" and any(
        max(end) >= size for end, size in zip(ends, grid.places.shape, strict=True) if any(end)
    ):
        raise unsupported(node, f"it mirrors {pads} values of {list(grid.places.shape)}")
    fill = {"constant_values": -1} if mode == "constant" else {}
    places: Array = np.pad(grid.places, ends, mode=mode, **fill)
    return [settled(trace, grid.value, grid.axes, places)]


HANDLERS: dict[str, Handler] = {
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Shape": _shape,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Expand": _expand,
    "Tile": _tile,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Pad": pad,
}
