"""Pools inside a frame: a Take puts the places of each window side by side, a Reduce makes one value of them."""

from math import prod

import numpy as np
import onnx

from ..arrays import Array
from ..graph.nodes import attributes
from ..operators import Elementwise, Reduce
from .grid_functions import reduced
from .grids import grid_of, moved, settled
from .taps import Taps, taps_of
from .trace import Handler, Trace, unsupported
from .values import TIME, Grid, Value


def _global(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid = grid_of(trace, node)
    made = reduced(trace, node, grid, range(2, len(grid.axes)), GLOBAL[node.op_type])
    return [settled(trace, made.value, made.axes, made.places)]


def _pool(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    grid, given = grid_of(trace, node), attributes(node)
    kernel = list(given["kernel_shape"])
    strides = given.get("strides", [1] * len(kernel))
    pads = given.get("pads", [0] * 2 * len(kernel))
    for axis, *window in zip(grid.axes[2:], kernel, strides, pads, pads[len(kernel) :], strict=False):
        if axis == TIME and window != [1, 1, 0, 0]:
            raise unsupported(node, "it pools along time, wanted a kernel of one frame; pool inside a frame only")
    taps = taps_of(node, list(grid.places.shape[2:]), kernel)
    if len(node.output) > 1 and node.output[1]:
        raise unsupported(node, "it gives the places of the largest values, wanted the values only")
    windows, counted = _windows(grid, taps), bool(given.get("count_include_pad", 0))
    if not counted and windows.max(1).min() < 0:
        raise unsupported(node, "one of its windows lies beside the frame, in zeros alone, wanted a value in each")
    sizes = [*grid.places.shape[:2], *(1 if a == TIME else t.answers for a, t in zip(grid.axes[2:], taps, strict=True))]
    places = np.arange(prod(sizes)).reshape(sizes)
    if node.op_type == "MaxPool":
        inside = np.where(windows < 0, windows.max(1, keepdims=True), windows)  # a value twice changes no maximum
        made = trace.emit(Reduce((moved(trace, grid.value, inside),), "max", windows.shape[1]))
    else:
        made = _averages(trace, grid, windows, counted=counted)
    return [settled(trace, made, grid.axes, places)]


def _averages(trace: Trace, grid: Grid, windows: Array, *, counted: bool) -> int:
    """Return the average of each window; zeros around the frame count if `counted`."""
    value, inside = moved(trace, grid.value, windows), (windows >= 0).sum(1)
    if counted or np.all(inside == windows.shape[1]):
        return trace.emit(Reduce((value,), "mean", windows.shape[1]))
    total = trace.emit(Reduce((value,), "sum", windows.shape[1]))
    return trace.emit(Elementwise((total,), "div", inside.astype(np.float32)))


def _windows(grid: Grid, taps: list[Taps]) -> Array:
    """Return the places of each window, -1 for a zero: `[windows, taps]`."""
    places, rank = grid.places, len(taps)
    for axis, tap in enumerate(taps):
        at = np.arange(tap.answers)[:, None] * tap.stride - tap.before + np.arange(tap.kernel) * tap.dilation
        inside = (at >= 0) & (at < tap.size)
        places = np.moveaxis(places, 2 + axis, 0)
        taken = np.where(inside.reshape(*at.shape, *[1] * (places.ndim - 1)), places[np.clip(at, 0, tap.size - 1)], -1)
        places = np.moveaxis(taken, (0, 1), (2 + axis, -1))
    return places.reshape(-1, prod(places.shape[-rank:]))


GLOBAL = {"GlobalAveragePool": "mean", "GlobalMaxPool": "max"}
HANDLERS: dict[str, Handler] = {**dict.fromkeys(GLOBAL, _global), "MaxPool": _pool, "AveragePool": _pool}
