"""Selecting and joining: frames, features, layers of states, sizes."""

from dataclasses import replace

import numpy as np
import onnx

from ..arrays import Array
from ..graph.nodes import attributes
from ..operators import Concat, Last
from .convolution import extended, tail_of
from .embedding import embedded
from .grids import moved
from .layers import joined_state, stacked
from .pointwise import aligned, alike
from .trace import EXPORT_AGAIN, ONNXRUNTIME, Handler, Trace, unsupported
from .values import BATCH, FEATURE, NEWEST, ONE, TIME, AxisSizes, Carried, Extended, Ids, Signal, Value

END = 2**30  # a larger bound means the end


def _gather(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Lower a Gather with constant indices: the last frame, features, a layer of a final state, or sizes."""
    index = place_of(trace, node)
    axis = int(attributes(node).get("axis", 0))
    known = trace.values.get(node.input[1])
    if isinstance(known, Ids):
        return [embedded(trace, node, known)]
    if index is None:
        raise unsupported(node, "the engine takes constant indices")
    value = trace.values.get(node.input[0])
    if isinstance(value, AxisSizes):
        return [AxisSizes(tuple(value.items[i] for i in np.ravel(index)))]
    signal = trace.signal(node)
    if signal.axes[axis] == FEATURE:
        return [_features(trace, node, signal, index.astype(np.int64))]
    if index.size != 1:
        raise unsupported(node, f"it takes {index.size} indices of the {signal.axes[axis]} axis")
    index, kept = index.ravel()[0], (ONE,) * index.ndim  # an index in a list keeps the axis, with one entry
    first = axis % len(signal.axes)
    rest = (*signal.axes[:first], *kept, *signal.axes[first + 1 :])
    if signal.axes[axis] == TIME and int(index) == -1:
        return [Signal(trace.emit(Last((signal.value,))), rest)]
    if signal.axes[axis] in (ONE, BATCH) and int(index) in (0, -1):
        return [replace(signal, axes=rest)]
    wanted = "the last frame (-1)" if signal.axes[axis] == TIME else "0"
    way_out = EXPORT_AGAIN if signal.axes[axis] == ONE else ONNXRUNTIME
    raise unsupported(node, f"it takes index {int(index)} of the {signal.axes[axis]} axis, wanted {wanted}", way_out)


def place_of(trace: Trace, node: onnx.NodeProto) -> Array | None:
    """Return the indices of a Gather: constants, or -1 for the number of the newest frame; None for others."""
    known = trace.values.get(node.input[1])
    if isinstance(known, AxisSizes) and known.items == (NEWEST,):
        return np.full([1] * _rank(trace, node.input[1]), -1)
    return trace.constant(node, 1)


def _rank(trace: Trace, name: str) -> int:
    """Return whether a size is in a list of one (1) or a number (0): by the node that last changed it."""
    while (node := trace.graph.producer(name)) is not None and node.op_type not in ("Shape", "Squeeze", "Unsqueeze"):
        index = trace.constant(node, 1) if node.op_type == "Gather" else None
        if index is not None:
            return index.ndim
        name = next(name for name in node.input if isinstance(trace.values.get(name), AxisSizes))
    return int(node is not None and node.op_type != "Squeeze")


def _features(
    trace: Trace, node: onnx.NodeProto, signal: Signal, index: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
) -> Signal:
    """Emit a choice of features."""
    width = trace.widths[signal.value]
    if np.any((index < -width) | (index >= width)):
        raise unsupported(node, f"it takes features {index.tolist()} of {width}")
    if index.ndim > 1:
        raise unsupported(node, f"it takes features by {index.ndim} axes of indices, wanted one")
    axes = signal.axes if index.ndim else tuple(a for a in signal.axes if a != FEATURE)
    if signal.value == 0 and not index.ndim and int(index) in trace.features_of_ids:
        return Ids(0, axes, int(index))
    return Signal(moved(trace, signal.value, np.atleast_1d(index % width)), axes)


# ---- Slice and Split ----


def bounds_of(trace: Trace, node: onnx.NodeProto) -> list[tuple[int, slice]]:
    """Return the axes that a Slice cuts, each with its bounds."""
    starts, ends = _bound(trace, node, 1, "starts"), _bound(trace, node, 2, "ends")
    if starts is None or ends is None:
        raise unsupported(node, "its bounds are not constant")
    axes = trace.integers(node, 3, "axes") or list(range(len(starts)))
    steps = trace.integers(node, 4, "steps") or [1] * len(starts)
    return [(axis, slice(*bounds)) for axis, *bounds in zip(axes, starts, ends, steps, strict=True)]


def _bound(trace: Trace, node: onnx.NodeProto, position: int, key: str) -> list[int] | None:
    """Return constant bounds; the number of the newest frame is -1, and that of all frames is the end."""
    known = trace.values.get(node.input[position]) if position < len(node.input) else None
    if isinstance(known, AxisSizes):
        items = [{NEWEST: -1, TIME: 2 * END}.get(item, item) if isinstance(item, str) else item for item in known.items]
        return AxisSizes(tuple(items)).numbers()
    return trace.integers(node, position, key)


def _slice(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    cuts = bounds_of(trace, node)
    value = trace.values.get(node.input[0])
    if isinstance(value, AxisSizes):
        return [AxisSizes(value.items[cuts[0][1]])]
    if isinstance(value, Extended):
        return [tail_of(trace, node, value, [(axis, own.start, own.stop, own.step) for axis, own in cuts])]
    chosen = trace.signal(node)
    for axis, bounds in cuts:
        chosen = _cut(trace, node, chosen, axis % len(chosen.axes), bounds)
    return [chosen]


def _cut(trace: Trace, node: onnx.NodeProto, signal: Signal, axis: int, bounds: slice) -> Signal:
    kind = signal.axes[axis]
    if kind == FEATURE:
        return part(trace, node, signal, range(trace.widths[signal.value])[bounds])
    if kind == TIME and bounds.start == -1 and bounds.stop > END and bounds.step == 1:
        last = trace.emit(Last((signal.value,)))
        return Signal(last, tuple(ONE if a == TIME else a for a in signal.axes))
    if bounds.start == 0 and bounds.stop > END and bounds.step == 1:
        return signal
    raise unsupported(node, f"it cuts the {kind} axis from {bounds.start} to {bounds.stop}, wanted features")


def part(trace: Trace, node: onnx.NodeProto, signal: Signal, chosen: range) -> Signal:
    """Emit a choice of features, given as a range."""
    if not chosen:
        raise unsupported(node, "it takes no feature")
    return replace(signal, value=moved(trace, signal.value, np.asarray(chosen)))


def sizes_of_parts(trace: Trace, node: onnx.NodeProto, size: int) -> list[int]:
    """Return the sizes of the parts of a Split of an axis; without sizes they are equal, the last perhaps smaller."""
    count = len(node.output)
    each = -(-size // count)
    return trace.integers(node, 1, "split") or [min(each, size - each * i) for i in range(count)]


def _split(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    value = trace.values.get(node.input[0])
    axis = int(attributes(node).get("axis", 0))
    if isinstance(value, Carried) and axis == 0:
        return _split_layers(trace, node, value)
    signal = trace.signal(node)
    if signal.axes[axis] != FEATURE:
        raise unsupported(node, f"it splits the {signal.axes[axis]} axis, wanted features")
    width = trace.widths[signal.value]
    sizes = sizes_of_parts(trace, node, width)
    if sum(sizes) != width or len(sizes) != len(node.output):
        raise unsupported(node, f"it splits {width} features into {sizes}")
    ends = np.cumsum(sizes)
    return [part(trace, node, signal, range(int(e) - s, int(e))) for e, s in zip(ends, sizes, strict=True)]


def _split_layers(trace: Trace, node: onnx.NodeProto, value: Carried) -> list[Value]:
    sizes = trace.integers(node, 1, "split") or [1] * len(node.output)
    if sizes != [1] * len(value.slots):
        raise unsupported(node, f"it splits {len(value.slots)} layers into {sizes}, wanted one each")
    return [Carried((slot,)) for slot in value.slots]


# ---- Concat ----


def _concat(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    values = [trace.values.get(name) for name in node.input]
    axis = int(attributes(node)["axis"])
    if any(isinstance(v, AxisSizes) for v in values):
        return [_joined_sizes(trace, node)]
    state = joined_state(trace, node)
    if state is not None:
        return [state]
    if isinstance(values[0], Carried):
        return [extended(trace, node, values[0], axis)]
    signals = [trace.signal(node, i) for i in range(len(node.input))]
    layers = stacked(signals, axis)
    if layers is not None:
        return [layers]
    joined = signals[0]
    for signal in signals:
        if -len(signal.axes) <= axis < len(signal.axes) and signal.axes[axis] == FEATURE:
            continue
        raise unsupported(node, f"it joins along axis {axis} of ({', '.join(signal.axes)}), wanted features or layers")
    for signal in signals[1:]:
        first, second = alike(trace, joined, signal)
        axes = aligned(trace, node, first, second)
        joined = Signal(trace.emit(Concat((first.value, second.value))), axes)
    return [joined]


def _joined_sizes(trace: Trace, node: onnx.NodeProto) -> AxisSizes:
    items: list[int | str] = []
    for position, name in enumerate(node.input):
        value, constant = trace.values.get(name), trace.constant(node, position)
        if isinstance(value, AxisSizes):
            items.extend(value.items)
        elif constant is not None:
            items.extend(int(v) for v in np.ravel(constant))
        else:
            raise unsupported(node, f"its input {name!r} is not a size that the engine can follow")
    return AxisSizes(tuple(items))


HANDLERS: dict[str, Handler] = {"Gather": _gather, "Slice": _slice, "Split": _split, "Concat": _concat}
