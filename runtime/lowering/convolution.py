"""Convolutions along time: the last frames of their input are a state, carried from push to push."""

from dataclasses import replace
from math import prod

import numpy as np
import onnx

from ..arrays import Array
from ..graph.nodes import attributes
from ..operators import Linear, Window
from .grids import as_grid, moved, settled
from .trace import EXPORT_AGAIN, LIFT, Trace, unsupported
from .values import BATCH, FEATURE, ONE, TIME, Carried, Extended, Final, Grid, Signal, Value
from .weights import bias_of, matrix_of, weights_of

MOST_DENSE = 1_000_000  # the most weights of a grouped convolution that becomes a dense one
END = 2**30  # a larger bound means the end


def extended(trace: Trace, node: onnx.NodeProto, tail: Carried, axis: int) -> Extended:
    """Follow a Concat of a carried tail and the frames of a push."""
    known = trace.values.get(node.input[1])
    signal = known if isinstance(known, Grid) else trace.signal(node, 1)
    if len(node.input) != 2 or len(tail.slots) != 1 or signal.axes[axis] != TIME:
        raise unsupported(node, f"it joins the state {tail.slots[0].name!r} along axis {axis}, not along time")
    frames = trace.state_shape(tail.slots[0])[axis]
    if not isinstance(frames, int):
        raise unsupported(node, f"the state {tail.slots[0].name!r} has no fixed number of frames")
    return Extended(tail.slots[0], signal, frames)


def tail_of(
    trace: Trace, node: onnx.NodeProto, value: Extended, cuts: list[tuple[int, int, int, int]]
) -> Final | Signal | Grid:
    """Follow a Slice: of the frames kept for the next push, or of earlier frames. A cut is axis, start, end, step."""
    frames, axes = value.frames, value.signal.axes
    axis, start, end, step = cuts[0]
    if len(cuts) == 1 and axes[axis] == TIME and step == 1 and 0 <= start <= frames and _ends(start, end, frames):
        return _before(trace, node, value, start)
    if len(cuts) != 1 or axes[axis] != TIME or (-start, step) != (frames, 1) or end < END:
        raise unsupported(node, f"it does not keep the last {frames} frames, as the state {value.slot.name!r} wants")
    return Final((None,), (value.slot,), axes)


def _ends(start: int, end: int, frames: int) -> bool:
    """Return whether a Slice has as many frames as a push."""
    return end > END if start == frames else end == start - frames


def _before(trace: Trace, node: onnx.NodeProto, value: Extended, start: int) -> Signal | Grid:
    """Return the frames of a push, or those that came up to `frames` earlier: each tap of one Window."""
    grid, taps = as_grid(trace, value.signal), value.frames + 1
    together = prod(grid.places.shape[grid.axes.index(TIME) :])
    if value.slot not in trace.windows:
        ordered = moved(trace, grid.value, grid.places)
        tail = trace.take(node, value.slot, *trace.state_shape(value.slot)[1:])  # type: ignore[arg-type]  # streams first
        window = Window((ordered,), taps, 1, grid.places.size, tail, together=together)
        trace.windows[value.slot] = trace.emit(window)
    groups, inside = np.divmod(np.arange(grid.places.size), together)
    places = (groups * taps + start) * together + inside
    return settled(trace, trace.windows[value.slot], grid.axes, places.reshape(grid.places.shape))


def along_time(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Lower to a Linear on a window of frames, or on the frame itself if the kernel is 1."""
    known = trace.values.get(node.input[0])
    signal = known.signal if isinstance(known, Extended) and isinstance(known.signal, Signal) else trace.signal(node)
    channels = trace.widths[signal.value]
    if len(signal.axes) != 3 or signal.axes[0] not in (ONE, BATCH) or signal.axes[1:] != (FEATURE, TIME):
        raise unsupported(node, f"its input has axes ({', '.join(signal.axes)}), wanted (batch, feature, time)")
    weights = weights_of(trace, node, 1)
    ahead = trace.ahead(node)
    kernel, dilation = weights.codes.shape[-1], _options(node, weights.codes.shape[-1], ahead)
    value = signal.value
    if isinstance(known, Extended):
        tail = trace.take(node, known.slot, channels, (kernel - 1) * dilation)
        value = trace.emit(Window((value,), kernel, dilation, channels, tail))
    elif ahead:
        value = trace.emit(Window((value,), kernel, dilation, channels, lookahead=ahead))
    elif kernel > 1:
        raise unsupported(node, f"its {kernel} taps need frames of earlier pushes", LIFT)
    if weights.block or (weights.scales.size > 1 and weights.axis != 0):
        raise unsupported(
            node, f"its weights are scaled along axis {weights.axis}, wanted one scale per output channel"
        )
    scales = weights.scales.reshape(-1, 1)
    codes = dense_groups(node, weights.codes, channels).reshape(-1, channels * kernel)
    dense = replace(weights, codes=codes, scales=scales)
    matrix = matrix_of(node, dense, 0, channels * kernel, trace.reading(value))
    bias = bias_of(trace, node, 2, matrix.codes.shape[0])
    return [Signal(trace.emit(Linear((value,), matrix, bias)), signal.axes)]


def _options(node: onnx.NodeProto, kernel: int, ahead: int) -> int:
    """Return the dilation; refuse strides, pads and other options that do not give one answer per frame."""
    given = attributes(node)
    dilation = int(given.get("dilations", [1])[0])
    reach = (kernel - 1) * dilation
    for key, wanted in (("strides", [1]), ("pads", [reach - ahead, ahead] if ahead else [0, 0])):
        if list(given.get(key, [1] if key == "strides" else [0, 0])) != wanted:
            raise unsupported(node, f"{key} are {list(given[key])}, wanted {wanted}: one answer per frame")
    if given.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise unsupported(node, f"auto_pad is {given['auto_pad']}, wanted NOTSET")
    return dilation


def dense_groups(node: onnx.NodeProto, codes: Array, channels: int) -> Array:
    """Return weights `[out, channels of a group, kernel]` as `[out, channels, kernel]`, with zeros between groups."""
    groups = int(attributes(node).get("group", 1))
    rows, inside, kernel = codes.shape
    if inside * groups != channels or rows % groups:
        seen = f"its weights {list(codes.shape)} in {groups} groups do not fit {channels} channels"
        raise unsupported(node, seen, EXPORT_AGAIN)
    if groups > 1 and rows * channels * kernel > MOST_DENSE:
        raise unsupported(
            node,
            f"its {groups} groups make a dense matrix of {rows * channels * kernel} weights, the engine takes at most "
            f"{MOST_DENSE}; train it with fewer groups or channels",
        )
    dense = np.zeros((groups, rows // groups, groups, inside, kernel), codes.dtype)
    blocks = codes.reshape(groups, rows // groups, inside, kernel)
    for group in range(groups):
        dense[group, :, group] = blocks[group]
    return dense.reshape(rows, channels, kernel)
