"""Operators that only change axes: they follow the axes and emit no operation."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from ..arrays import Array
from ..graph.nodes import attributes
from ..operators import Constant
from .grids import as_grid, regrouped, settled
from .trace import Handler, Trace, unsupported
from .values import BATCH, FEATURE, LAYER, ONE, TIME, AxisSizes, Carried, Final, Grid, Ids, Signal, Value, steady_axes
from .weights import flushed

BROADCASTING = {"Add", "Sub", "Mul", "Div", "Max", "Min"}  # these operators broadcast a value of one feature


def _dropout(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    training = trace.constant(node, 2)
    if any(node.input[2:]) and (training is None or np.any(training)):
        raise unsupported(node, "it drops values at random (training_mode may be true)")
    return _same(trace, node)


def _same(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    known = trace.values.get(node.input[0])
    return [known if known is not None else trace.signal(node)]


def _cast(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    kind = attributes(node)["to"]
    value = trace.values.get(node.input[0])
    whole = kind in (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
    if isinstance(value, AxisSizes) or (whole and isinstance(value, Ids)):
        return [value]
    if kind != onnx.TensorProto.FLOAT:
        raise unsupported(node, f"it casts to {onnx.TensorProto.DataType.Name(kind)}, wanted FLOAT")
    return [value if isinstance(value, Grid) else trace.signal(node)]


def _transpose(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    signal = trace.signal(node, ids=True)
    order = attributes(node).get("perm") or range(len(signal.axes))[::-1]
    return [replace(signal, axes=tuple(signal.axes[i] for i in order))]


def _squeeze(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    value = trace.values.get(node.input[0])
    if isinstance(value, AxisSizes):
        return [value]
    if not isinstance(value, Signal | Final):
        raise unsupported(node, "its input is not a signal")
    removed = {a % len(value.axes) for a in trace.integers(node, 1, "axes") or []}
    single = isinstance(value, Signal) and trace.widths[value.value] == 1
    if not removed or any(value.axes[a] not in (ONE, BATCH, *([FEATURE] * single)) for a in removed):
        raise unsupported(node, f"it removes axes {sorted(removed)} of ({', '.join(value.axes)})")
    return [replace(value, axes=tuple(a for i, a in enumerate(value.axes) if i not in removed))]


def _unsqueeze(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    value = trace.values.get(node.input[0])
    if isinstance(value, AxisSizes):
        return [value]
    signal = trace.signal(node, ids=True)
    added = trace.integers(node, 1, "axes") or []
    axes = list(signal.axes)
    for a in sorted(a % (len(axes) + len(added)) for a in added):
        # A value without a feature axis has one feature; a new last axis counts it.
        lost = a == len(axes) and FEATURE not in axes and not isinstance(signal, Ids)
        axes.insert(a, FEATURE if lost else ONE)
    return [replace(signal, axes=tuple(axes))]


def _shape(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    signal = trace.signal(node, ids=True)
    return [axis_sizes(node, signal.axes, trace.widths[signal.value])]


def axis_sizes(node: onnx.NodeProto, axes: tuple[str, ...], width: int, layers: int = 1) -> AxisSizes:
    """Return the sizes of a tensor that a Shape asks for."""
    sizes: dict[str, int | str] = {ONE: 1, FEATURE: width, TIME: TIME, BATCH: BATCH, LAYER: layers}
    return sizes_asked_for(node, [sizes[a] for a in axes])


def sizes_asked_for(node: onnx.NodeProto, sizes: Sequence[int | str]) -> AxisSizes:
    """Return the part of a tensor's sizes that a Shape asks for."""
    given = attributes(node)
    return AxisSizes(tuple(sizes[given.get("start", 0) : given.get("end", len(sizes))]))


def _reshape(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    value = trace.values.get(node.input[0])
    if isinstance(value, Carried | AxisSizes) or (isinstance(value, Final) and value.values == (None,)):
        return [value]  # a state that several rows have in their batch, or the product of two sizes
    return [reshaped(trace, node, trace.signal(node), target_of(trace, node))]


def reshaped(trace: Trace, node: onnx.NodeProto, signal: Signal, target: tuple[int | str, ...]) -> Signal | Grid:
    """Return a signal with the axes that a Reshape gives it; a grid if its features become several axes."""
    grid = as_grid(trace, signal)
    axes, sizes = regrouped(node, grid.axes, grid.places.shape, target)
    return settled(trace, grid.value, axes, grid.places.reshape(sizes))


def target_of(trace: Trace, node: onnx.NodeProto) -> tuple[int | str, ...]:
    """Return the shape that a Reshape asks for."""
    sizes = _sizes(trace, node)
    if sizes is None:
        raise unsupported(node, f"its shape {node.input[1]!r} is not one that the engine can follow")
    return sizes


def _flatten(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    return [flattened(node, trace.signal(node))]


def flattened(node: onnx.NodeProto, signal: Signal) -> Signal:
    """Return a signal with the two axes that a Flatten leaves."""
    axis = int(attributes(node).get("axis", 1)) % (len(signal.axes) + 1)
    groups = [[a for a in part if a in (TIME, FEATURE)] or [BATCH] for part in (signal.axes[:axis], signal.axes[axis:])]
    if any(len(group) > 1 for group in groups):
        raise unsupported(node, f"it folds the axes ({', '.join(signal.axes)}) at {axis}")
    return replace(signal, axes=(groups[0][0], groups[1][0]))


def _expand(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Repeat a vector in each frame; one feature is widened by the operators that read it."""
    constant, sizes = trace.constant(node, 0), _sizes(trace, node)
    if constant is not None and sizes is not None:
        return [_repeated_constant(trace, node, constant, sizes)]
    signal = trace.signal(node)
    axes = None if sizes is None else _expanded(signal.axes, trace.widths[signal.value], sizes)
    if axes is not None and (TIME in axes) > (TIME in signal.axes) and not trace.is_steady(signal):
        raise unsupported(node, "it repeats a value of the last frame in earlier frames")
    return [replace(signal, axes=axes)] if axes is not None else [_widened(trace, node, signal)]


def _sizes(trace: Trace, node: onnx.NodeProto) -> tuple[int | str, ...] | None:
    """Return the sizes that an Expand or a Reshape asks for; None if the engine cannot follow them."""
    known, constant = trace.values.get(node.input[1]), trace.constant(node, 1)
    if isinstance(known, AxisSizes):
        return known.items
    return None if constant is None else tuple(int(size) for size in np.ravel(constant))


def _repeated_constant(trace: Trace, node: onnx.NodeProto, constant: Array, sizes: tuple[int | str, ...]) -> Signal:
    """Emit a constant vector for each frame."""
    rank = max(constant.ndim, len(sizes))
    own = (1,) * (rank - constant.ndim) + constant.shape
    asked = (1,) * (rank - len(sizes)) + sizes
    made = tuple(size if isinstance(size, str) else max(size, had) for size, had in zip(asked, own, strict=True))
    axes = steady_axes(made)
    if axes.count(FEATURE) != 1 or any(had > 1 and isinstance(size, str) for had, size in zip(own, made, strict=True)):
        raise unsupported(node, f"it expands a constant {constant.shape} to {list(sizes)}, wanted a vector of features")
    whole = np.broadcast_to(constant, tuple(size if isinstance(size, int) else 1 for size in made))
    vector = flushed(node, whole.ravel())
    return Signal(trace.emit(Constant((0,), vector)), axes)


def _expanded(axes: tuple[str, ...], width: int, sizes: tuple[int | str, ...]) -> tuple[str, ...] | None:
    """Return what the axes of an expanded tensor count; None if it has more features."""
    rank = max(len(axes), len(sizes))
    made = []
    for axis, size in zip((ONE,) * (rank - len(axes)) + axes, (1,) * (rank - len(sizes)) + sizes, strict=True):
        if axis == ONE and isinstance(size, str):
            made.append(size)
        elif size in (1, {FEATURE: width}.get(axis, axis)):
            made.append(axis)
        else:
            return None
    return tuple(made)


def _widened(trace: Trace, node: onnx.NodeProto, signal: Signal) -> Signal:
    """Return one feature that its readers broadcast themselves."""
    if not _is_left_to_readers(trace, node, signal):
        raise unsupported(node, "the engine widens one feature only for Add, Sub, Mul, Div, Max and Min")
    return signal


def _is_left_to_readers(trace: Trace, node: onnx.NodeProto, signal: Signal) -> bool:
    readers = {reader.op_type for reader in trace.graph.consumers(node.output[0])}
    return trace.widths[signal.value] == 1 and bool(readers) and not readers - BROADCASTING


def makes_features(trace: Trace, node: onnx.NodeProto, signal: Signal) -> bool:
    """Return whether an Expand repeats features that the nodes which read it would not repeat by themselves."""
    sizes = _sizes(trace, node)
    known = sizes is not None and _expanded(signal.axes, trace.widths[signal.value], sizes) is None
    return known and not _is_left_to_readers(trace, node, signal)


HANDLERS: dict[str, Handler] = {
    "Identity": _same,
    "Dropout": _dropout,
    "Cast": _cast,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Shape": _shape,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Expand": _expand,
}
