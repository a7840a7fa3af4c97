"""Convolutions inside a frame, over its samples or bands, and linear layers at several places of a frame.

The weights are stored once and applied at each place. A convolution that also spans time reads a Window of frames: then
time is one more axis of the frame.
"""

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import onnx

from ..arrays import Floats
from ..graph.nodes import attributes
from ..operators import Concat, Convolution, Depthwise, Geometry, Linear, Slice, Window
from .convolution import along_time
from .grids import as_grid, grid_of, moved, settled
from .taps import Taps, taps_of
from .trace import Trace, unsupported
from .values import BATCH, FEATURE, ONE, TIME, Extended, Grid, Signal, Value, Weights
from .weights import bias_of, matrix_of, weights_of

MOST_GROUPS = 64  # groups of a convolution that are neither one nor one per channel: each is a convolution


def conv(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Lower a convolution along time, or inside each frame, or both."""
    known = trace.values.get(node.input[0])
    signal = known.signal if isinstance(known, Extended) else known
    if (
        isinstance(signal, Signal)
        and len(signal.axes) == 3
        and signal.axes[0] in (ONE, BATCH)
        and signal.axes[2] == TIME
    ):
        return along_time(trace, node)
    grid = as_grid(trace, signal) if isinstance(signal, Signal | Grid) else grid_of(trace, node)
    weights = weights_of(trace, node, 1)
    rank = weights.codes.ndim - 2
    if rank not in (1, 2) or len(grid.axes) != rank + 2 or grid.axes[1] == TIME:
        raise unsupported(
            node, f"its input has axes ({', '.join(grid.axes)}), wanted (batch, channels, one or two axes of a frame)"
        )
    if weights.block or (weights.scales.size > 1 and weights.axis != 0):
        raise unsupported(
            node, f"its weights are scaled along axis {weights.axis}, wanted one scale per output channel"
        )
    given = taps_of(node, _open_sizes(grid, known), list(weights.codes.shape[2:]))
    value, taps = _over_time(trace, node, grid, known, given)
    frame = _Frame(value, grid.places.shape[1], _geometry(taps))
    made = _convolved(trace, node, frame, weights, bias_of(trace, node, 2, len(weights.codes)))
    sizes = [1 if axis == TIME else tap.answers for axis, tap in zip(grid.axes[2:], given, strict=True)]
    places = np.arange(trace.widths[made]).reshape(1, len(weights.codes), *sizes)
    return [settled(trace, made, (grid.axes[0], FEATURE, *grid.axes[2:]), places)]


@dataclass(frozen=True)
class _Frame:
    """The input of a convolution: a value `[channels, height, width]`."""

    value: int
    channels: int
    geometry: Geometry


def _geometry(taps: list[Taps]) -> Geometry:
    rows = [Taps(1, 1, 1, 1, 0, 1)] * (2 - len(taps)) + taps
    fields = (
        [getattr(tap, key) for tap in rows] for key in ("size", "kernel", "stride", "dilation", "before", "answers")
    )
    return Geometry(*((first, second) for first, second in fields))


# ---- time ----


def _open_sizes(grid: Grid, known: Value | None) -> list[int]:
    """Return the sizes of the axes of a kernel; along time as many frames as one answer may read."""
    frames = known.frames + 1 if isinstance(known, Extended) else 1
    return [frames if axis == TIME else size for axis, size in zip(grid.axes[2:], grid.places.shape[2:], strict=True)]


def _over_time(
    trace: Trace, node: onnx.NodeProto, grid: Grid, known: Value | None, taps: list[Taps]
) -> tuple[int, list[Taps]]:
    """Return the frames that each answer reads as one frame, and the taps in it: time is one of its axes."""
    value = moved(trace, grid.value, grid.places)
    if TIME not in grid.axes[2:]:
        return value, taps
    at = grid.axes[2:].index(TIME)
    time, together = taps[at], prod(grid.places.shape[3 + at :])
    ahead, reach = trace.ahead(node), (time.kernel - 1) * time.dilation
    width = trace.widths[value]
    if isinstance(known, Extended) and (known.frames, time.before, time.stride) == (reach, 0, 1):
        sizes = [
            known.frames if axis == TIME else size for axis, size in zip(grid.axes, grid.places.shape, strict=True)
        ]
        tail = trace.take(node, known.slot, *sizes[1:])
        value = trace.emit(Window((value,), time.kernel, time.dilation, width, tail, together=together))
    elif ahead and (time.before, time.stride) == (reach - ahead, 1):
        value = trace.emit(Window((value,), time.kernel, time.dilation, width, lookahead=ahead, together=together))
    elif isinstance(known, Extended) or (time.kernel, time.stride, time.before) != (1, 1, 0):
        raise unsupported(
            node,
            f"along time it has {time.kernel} taps {time.dilation} apart, stride {time.stride}, {time.before} zeros "
            "before; they need frames of earlier pushes: lift it with `tidegate lift`",
        )
    return value, [*taps[:at], Taps(time.kernel, time.kernel, 1, 1, 0, 1), *taps[at + 1 :]]


# ---- weights ----


def _convolved(trace: Trace, node: onnx.NodeProto, frame: _Frame, weights: Weights, bias: Floats) -> int:
    groups, (outputs, inside) = int(attributes(node).get("group", 1)), weights.codes.shape[:2]
    if inside * groups != frame.channels or outputs % groups:
        raise unsupported(
            node,
            f"its weights {list(weights.codes.shape)} in {groups} groups do not fit {frame.channels} channels",
        )
    rows = replace(weights, codes=weights.codes.reshape(outputs, -1), scales=weights.scales.reshape(-1, 1))
    if groups == 1:
        return _dense(trace, node, frame, rows, bias)
    if inside == 1:
        w = matrix_of(node, rows, 0, rows.codes.shape[1], trace.reading(frame.value))
        return trace.emit(Depthwise((frame.value,), w, bias, frame.geometry))
    if groups > MOST_GROUPS:
        raise unsupported(
            node, f"it has {groups} groups of {inside} channels, wanted 1 to {MOST_GROUPS} or one channel each"
        )
    made = [_group(trace, node, frame, rows, bias, (groups, number)) for number in range(groups)]
    joined = made[0]
    for value in made[1:]:
        joined = trace.emit(Concat((joined, value)))
    return joined


def _group(  # noqa: PLR0917
    trace: Trace, node: onnx.NodeProto, frame: _Frame, rows: Weights, bias: Floats, group: tuple[int, int]
) -> int:
    """Return one group of a convolution: its channels are adjacent, and so are its outputs."""
    groups, number = group
    width, each = trace.widths[frame.value] // groups, len(bias) // groups
    own = slice(number * each, (number + 1) * each)
    scales = rows.scales if len(rows.scales) == 1 else rows.scales[own]
    part = trace.emit(Slice((frame.value,), number * width, width))
    inside = replace(frame, value=part, channels=frame.channels // groups)
    return _dense(trace, node, inside, replace(rows, codes=rows.codes[own], scales=scales), bias[own])


def _dense(trace: Trace, node: onnx.NodeProto, frame: _Frame, rows: Weights, bias: Floats) -> int:
    """Return a convolution; a Linear if its only answer reads the whole frame."""
    frame, rows = _cropped(frame, rows)
    w = matrix_of(node, rows, 0, rows.codes.shape[1], trace.reading(frame.value))
    width = trace.widths[frame.value]
    if len(frame.geometry.places) == 1 and np.array_equal(frame.geometry.places[0], np.arange(width // frame.channels)):
        return trace.emit(Linear((frame.value,), w, bias))
    return trace.emit(Convolution((frame.value,), w, bias, frame.geometry))


def _cropped(frame: _Frame, rows: Weights) -> tuple[_Frame, Weights]:
    """Leave out the taps at the ends of a kernel that lie outside of the frame for every answer."""
    where = frame.geometry
    read = np.any(where.places >= 0, 0).reshape(where.kernel)
    if not read.any():
        return frame, rows
    used = [np.flatnonzero(read.any(1 - axis)) for axis in (0, 1)]
    firsts = [
        int(taps[0]) if b >= taps[0] * d else 0 for taps, b, d in zip(used, where.before, where.dilation, strict=True)
    ]
    pasts = [int(taps[-1]) + 1 for taps in used]
    codes = rows.codes.reshape(len(rows.codes), -1, *where.kernel)[..., firsts[0] : pasts[0], firsts[1] : pasts[1]]
    before = [b - first * d for b, first, d in zip(where.before, firsts, where.dilation, strict=True)]
    cropped = replace(where, kernel=(pasts[0] - firsts[0], pasts[1] - firsts[1]), before=(before[0], before[1]))
    return replace(frame, geometry=cropped), replace(rows, codes=codes.reshape(len(codes), -1))


# ---- linear layers ----


def linear_at_places(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Lower a MatMul along the last axis of a frame of several axes."""
    grid, weights = grid_of(trace, node), weights_of(trace, node, 1)
    inputs = grid.places.shape[-1]
    if weights.codes.ndim != 2 or grid.axes[-1] == TIME:
        raise unsupported(
            node, f"its input has axes ({', '.join(grid.axes)}), wanted features last and a weight of two axes"
        )
    value = moved(trace, grid.value, grid.places)
    w = matrix_of(node, weights, 1, inputs, trace.reading(value))
    where = Geometry((grid.places.size // inputs, inputs), (1, inputs), answers=(grid.places.size // inputs, 1))
    outputs = len(w.codes)
    made = trace.emit(Convolution((value,), w, np.zeros(outputs, np.float32), where, answers_first=True))
    places = np.arange(trace.widths[made]).reshape(*grid.places.shape[:-1], outputs)
    return [settled(trace, made, (*grid.axes[:-1], FEATURE), places)]
