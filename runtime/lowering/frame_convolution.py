"""Convolutions inside a frame, over its samples or bands, as in the first layers of a speech detector.

The engine holds a frame of channels and positions as one vector, position after position. So the input of one answer of
a convolution is a contiguous part of that vector: a Slice selects it, and a Linear computes the answer. Padding only
copies values or adds zeros.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from ..arrays import Array
from ..graph.nodes import attributes
from ..operators import Concat, Linear, Slice
from ..operators.matrix import FLOAT, Matrix, Reading, activation_bits
from .convolution import along_time, dense_groups
from .trace import Handler, Trace, unsupported
from .values import FEATURE, ONE, TIME, Grid, Signal, Value
from .weights import bias_of, matrix_of, weights_of

MOST_POSITIONS = 64  # the most answers of one channel in a frame; each answer is a Linear
FLAT = (TIME, FEATURE)


def conv(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Lower a convolution along time, or one inside each frame: there each position is a Linear."""
    value = trace.values.get(node.input[0])
    if not isinstance(value, Grid) and not (isinstance(value, Signal) and value.axes[0] == TIME):
        return along_time(trace, node)
    grid = _grid_of(trace, node)
    weights = weights_of(trace, node, 1)
    if weights.codes.ndim != 3:
        raise unsupported(node, f"its weights have shape {weights.codes.shape}, wanted three axes")
    taps = _Taps.of(node, grid, weights.codes.shape[2])
    if weights.block or (weights.scales.size > 1 and weights.axis != 0):
        raise unsupported(
            node, f"its weights are scaled along axis {weights.axis}, wanted one scale per output channel"
        )
    codes = dense_groups(node, weights.codes, grid.channels)  # [out, channels, taps]
    bias = bias_of(trace, node, 2, len(codes))
    parts = []
    for first in taps.starts(grid.positions):
        read = {place: tap for tap, place in enumerate(taps.places(first)) if 0 <= place < grid.positions}
        run = range(min(read, default=0), max(read, default=0) + 1)  # if it reads only padding: one column of zeros
        columns = np.zeros((len(codes), len(run), grid.channels), codes.dtype)
        for place, tap in read.items():
            columns[:, place - run.start] = codes[:, :, tap]
        own = replace(weights, codes=columns.reshape(len(codes), -1), scales=weights.scales.reshape(-1, 1))
        source = _run(trace, grid, run)
        matrix = matrix_of(node, own, 0, own.codes.shape[1], trace.reading(source))
        parts.append(trace.emit(Linear((source,), matrix, bias)))
    return [_shaped(Grid(_joined(trace, parts), len(codes), len(parts)))]


def cut(trace: Trace, node: onnx.NodeProto, grid: Grid, axis: int, bounds: slice) -> Signal | Grid:
    """Select channels or positions."""
    if axis == 0:
        if bounds.start == 0 and bounds.stop > 2**30 and bounds.step == 1:
            return grid
        raise unsupported(node, f"it cuts time from {bounds.start} to {bounds.stop}, wanted channels or positions")
    size = grid.channels if axis == 1 else grid.positions
    chosen = range(size)[bounds]
    if not chosen or chosen.step != 1:
        raise unsupported(node, f"it takes {len(chosen)} of {size} at a step of {chosen.step}, wanted consecutive ones")
    if axis == 2:
        return _shaped(Grid(_run(trace, grid, chosen), grid.channels, len(chosen)))
    places = range(0, grid.channels * grid.positions, grid.channels)
    parts = [trace.emit(Slice((grid.value,), place + chosen.start, len(chosen))) for place in places]
    return _shaped(Grid(_joined(trace, parts), len(chosen), grid.positions))


def over_grids(handler: Handler) -> Handler:
    """Return a handler of element-wise functions that also takes grids, all of one shape, and single constants."""

    def run(trace: Trace, node: onnx.NodeProto) -> list[Value]:
        grids = {name: value for name in node.input if isinstance(value := trace.values.get(name), Grid)}
        if not grids:
            return handler(trace, node)
        (first, *others) = grids.values()
        vectors = [array for name in node.input if (array := trace.graph.constant(name)) is not None and array.size > 1]
        alike = all((other.channels, other.positions) == (first.channels, first.positions) for other in others)
        if not alike or vectors or any(isinstance(trace.values.get(name), Signal) for name in node.input):
            raise unsupported(node, "inside a frame of several axes, its operands must be alike or single constants")
        trace.values.update({name: Signal(grid.value, FLAT) for name, grid in grids.items()})
        made = handler(trace, node)
        trace.values.update(grids)
        return [replace(first, value=value.value) if isinstance(value, Signal) else value for value in made]

    return run


def pad(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Lower padding at the ends of a frame: mirrored values, repeated values, or zeros."""
    signal, pads = trace.signal(node), trace.integers(node, 1, "pads")
    mode = attributes(node).get("mode", "constant")
    value = trace.constant(node, 2)
    axis, rank = signal.axes.index(FEATURE), len(signal.axes)
    if pads is None or len(pads) != 2 * rank or any(node.input[3:]):
        raise unsupported(node, "its pads are not constants for every axis")
    before, after = pads[axis], pads[axis + rank]
    if before < 0 or after < 0 or sum(map(abs, pads)) != before + after:
        raise unsupported(node, f"its pads are {pads}, wanted padding of the features only")
    if mode not in ("constant", "reflect", "edge") or (mode == "constant" and value is not None and np.any(value)):
        raise unsupported(node, f"its mode is {mode!r}, wanted reflect, edge, or zeros")
    width = trace.widths[signal.value]
    if mode == "reflect" and max(before, after) >= width:
        raise unsupported(node, f"it mirrors {max(before, after)} values of {width}")
    fill = {"constant_values": -1} if mode == "constant" else {}
    places = np.pad(np.arange(width), (before, after), mode=mode, **fill)
    ends = [_copied(trace, signal.value, width, part) for part in (places[:before], places[len(places) - after :])]
    parts = [part for part in (ends[0], signal.value, ends[1]) if part is not None]
    return [replace(signal, value=_joined(trace, parts))]


@dataclass(frozen=True)
class _Taps:
    """The options of a convolution: kernel, stride, dilation, and zeros before and after."""

    kernel: int
    stride: int
    dilation: int
    pads: tuple[int, int]

    @classmethod
    def of(cls, node: onnx.NodeProto, grid: Grid, kernel: int) -> "_Taps":
        """Return the options of a node whose kernel has the given length."""
        given = attributes(node)
        if given.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            raise unsupported(node, f"auto_pad is {given['auto_pad']}, wanted NOTSET")
        before, after = given.get("pads", (0, 0))
        taps = cls(kernel, given.get("strides", [1])[0], given.get("dilations", [1])[0], (before, after))
        count = len(taps.starts(grid.positions))
        if not 1 <= count <= MOST_POSITIONS:
            raise unsupported(node, f"it has {count} answers inside a frame, the engine takes 1 to {MOST_POSITIONS}")
        return taps

    def starts(self, positions: int) -> range:
        """Return the position of the first tap of each answer."""
        reach = (self.kernel - 1) * self.dilation
        return range(-self.pads[0], positions + self.pads[1] - reach, self.stride)

    def places(self, first: int) -> range:
        """Return the positions of all taps of an answer."""
        return range(first, first + self.kernel * self.dilation, self.dilation)


def _grid_of(trace: Trace, node: onnx.NodeProto) -> Grid:
    """Return the input of a convolution as channels and positions."""
    value = trace.values.get(node.input[0])
    if isinstance(value, Grid):
        return value
    signal = trace.signal(node)
    width = trace.widths[signal.value]
    shapes = {(TIME, ONE, FEATURE): (1, width), (TIME, FEATURE, ONE): (width, 1)}
    if signal.axes not in shapes:
        raise unsupported(node, f"its input has axes ({', '.join(signal.axes)}), wanted (batch, feature, time)")
    return Grid(signal.value, *shapes[signal.axes])


def _shaped(grid: Grid) -> Signal | Grid:
    """Return a grid; one with a single channel or position becomes a signal."""
    if grid.positions == 1:
        return Signal(grid.value, (TIME, FEATURE, ONE))
    return Signal(grid.value, (TIME, ONE, FEATURE)) if grid.channels == 1 else grid


def _run(trace: Trace, grid: Grid, positions: range) -> int:
    """Return the value that holds consecutive positions."""
    if len(positions) == grid.positions:
        return grid.value
    return trace.emit(Slice((grid.value,), positions.start * grid.channels, len(positions) * grid.channels))


def _joined(trace: Trace, values: Sequence[int]) -> int:
    joined = values[0]
    for value in values[1:]:
        joined = trace.emit(Concat((joined, value)))
    return joined


def _copied(trace: Trace, value: int, width: int, places: Array) -> int | None:
    """Return a value of copied features, -1 for a zero: a Linear of ones and zeros, which is exact."""
    if not len(places):
        return None
    first, last = max(int(places.min()), 0), max(int(places.max()), 0) + 1
    read = value if last - first == width else trace.emit(Slice((value,), first, last - first))
    ones = (places[:, None] == np.arange(first, last)).astype(np.float32)
    scales = np.ones((len(ones), 1), np.float32)
    matrix = Matrix(ones, scales, Reading.FRAME, activation_bits(ones.shape[1], weight_bits=FLOAT), FLOAT, 0)
    return trace.emit(Linear((read,), matrix, np.zeros(len(ones), np.float32)))


HANDLERS: dict[str, Handler] = {"Conv": conv, "Pad": pad}
