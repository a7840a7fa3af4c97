"""Frames of several axes: a tensor is a view of a vector of features, and moving values only changes the view.

So Transpose, Reshape, Slice and their like cost nothing. Values move when an operator needs them in an order: then one
Slice or Take of the engine puts them there.
"""

from collections.abc import Sequence
from math import gcd, prod

import numpy as np
import onnx

from ..arrays import Array
from ..errors import UnsupportedError
from ..operators import Slice, Take
from .trace import Trace, unsupported
from .values import BATCH, FEATURE, ONE, TIME, Grid, Signal


def grid_of(trace: Trace, node: onnx.NodeProto, position: int = 0) -> Grid:
    """Return an input of a node as a grid, also if it is a signal."""
    value = trace.values.get(node.input[position])
    return value if isinstance(value, Grid) else as_grid(trace, trace.signal(node, position))


def as_grid(trace: Trace, value: Signal | Grid) -> Grid:
    """Return a signal as a grid with one axis of features.

    Raises:
        UnsupportedError: Several of its axes are those of features: a small file could ask for any memory so.
    """
    if isinstance(value, Grid):
        return value
    sizes = sizes_of(trace, value)
    if prod(sizes) != trace.widths[value.value]:
        raise UnsupportedError(f"a frame has sizes {sizes}, of which only one may be that of features; export it again")
    return Grid(value.value, value.axes, np.arange(prod(sizes)).reshape(sizes))


def sizes_of(trace: Trace, value: Signal | Grid) -> tuple[int, ...]:
    """Return the size of each axis of a frame; 1 for time and batch."""
    if isinstance(value, Grid):
        return value.places.shape
    return tuple(trace.widths[value.value] if axis == FEATURE else 1 for axis in value.axes)


def settled(trace: Trace, value: int, axes: Sequence[str], places: Array) -> Signal | Grid:
    """Return a view as a grid; as a signal if only one axis has more than one feature.

    Args:
        trace: The trace.
        value: The value.
        axes: What each axis counted before. An axis of one feature counts features only if no other does.
        places: As of a grid.
    """
    wide = [size > 1 for size in places.shape]
    known = [i for i, axis in enumerate(axes) if axis == FEATURE]
    kept = [i for i, one in enumerate(wide) if one] or known[:1]
    new = tuple(axis if axis in (TIME, BATCH) else FEATURE if i in kept else ONE for i, axis in enumerate(axes))
    if sum(wide) > 1:
        return Grid(value, new, places)
    return Signal(moved(trace, value, places), new)


def moved(trace: Trace, value: int, places: Array) -> int:
    """Return a value that has the features of another in the order of `places`; -1: a zero."""
    flat = places.ravel()
    if np.array_equal(flat, np.arange(trace.widths[value])):
        return value
    known = trace.moved.get((value, flat.tobytes()))
    if known is None:
        known = trace.moved[value, flat.tobytes()] = _emitted(trace, value, flat)
    return known


def _emitted(trace: Trace, value: int, flat: Array) -> int:
    steps = np.diff(flat)
    if len(flat) == 1 and flat[0] >= 0:
        return trace.emit(Slice((value,), int(flat[0]), 1))
    if len(steps) and steps[0] > 0 and flat[0] >= 0 and np.all(steps == steps[0]):
        return trace.emit(Slice((value,), int(flat[0]), len(flat), int(steps[0])))
    run = _run_of(flat)
    return trace.emit(Take((value,), flat[::run].astype(np.int32), run))


def _run_of(flat: Array) -> int:
    """Return the largest length of parts in each of which all places are adjacent, or all are zeros."""
    steps = np.diff(flat)
    joined = np.where(flat[1:] < 0, flat[:-1] < 0, (steps == 1) & (flat[:-1] >= 0))
    return gcd(len(flat), *(np.flatnonzero(~joined) + 1).tolist())


def is_whole(trace: Trace, grid: Grid) -> bool:
    """Return whether a view has each feature of its value once."""
    width = trace.widths[grid.value]
    return grid.places.size == width and np.array_equal(np.sort(grid.places.ravel()), np.arange(width))


def regrouped(
    node: onnx.NodeProto, axes: Sequence[str], sizes: Sequence[int], target: Sequence[int | str]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return what the axes of a reshaped tensor count, and their sizes; time must stay whole and in its place.

    A stream is a batch of one, so a batch axis may be added, removed, or merged into time.
    """
    features, timed = prod(sizes), TIME in axes
    new = [_axis_of(size, axes, i) for i, size in enumerate(target)]
    own = [sizes[i] if size == 0 and i < len(sizes) else size for i, size in enumerate(target)]
    known = [size if isinstance(size, int) and size > 0 else 1 for size in own]
    seen = f"it turns axes ({', '.join(axes)}) with {features} features into {list(target)}"
    if -1 in target:
        at, rest = list(target).index(-1), features // prod(known)
        free = timed and TIME not in new
        new[at] = TIME if free else FEATURE if rest > 1 else BATCH if BATCH in axes and BATCH not in new else ONE
        known[at] = 1 if free else rest
    if prod(known) != features or new.count(TIME) != timed or _before_time(axes, sizes) != _before_time(new, known):
        raise unsupported(node, seen)
    if FEATURE not in new and FEATURE in axes and new and new[-1] in (ONE, BATCH):
        new[-1] = FEATURE
    return tuple(new), tuple(known)


def _axis_of(size: int | str, axes: Sequence[str], position: int) -> str:
    if isinstance(size, str):
        return size
    if size == 0 and position < len(axes):
        return axes[position]
    return FEATURE if size > 1 else ONE


def _before_time(axes: Sequence[str], sizes: Sequence[int]) -> int:
    """Return the features before the time axis."""
    return prod(sizes[: list(axes).index(TIME)]) if TIME in axes else 1
