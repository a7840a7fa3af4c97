"""Values of several layers, as the final states of a stack: one part per layer, until a head selects or joins them."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import numpy as np
import onnx

from ..graph.nodes import attributes
from ..operators import Binary, Concat, Elementwise
from .shapes import axis_sizes, flattened, reshaped, target_of
from .trace import EXPORT_AGAIN, Handler, Trace, unsupported
from .values import FEATURE, LAYER, ONE, TIME, Final, Layers, Signal, Value

Part = Signal | Final
SUMS = {"ReduceSum": "add", "ReduceMean": "add", "ReduceMax": "max", "ReduceMin": "min"}


def over_layers(handler: Handler) -> Handler:
    """Return a handler that also takes values of several layers: it works layer by layer, or along the layers."""

    def run(trace: Trace, node: onnx.NodeProto) -> list[Value]:
        stacks = {name: stack for name in node.input if (stack := layers_of(trace.values.get(name)))}
        first = stacks.get(node.input[0]) if node.input else None
        along = ALONG.get(node.op_type)
        made = along(trace, node, first) if first is not None and along is not None else None
        return made or (_layer_by_layer(trace, node, stacks, handler) if stacks else handler(trace, node))

    return run


def layers_of(value: Value | None) -> Layers | None:
    """Return a value of several layers; None for other values."""
    if not isinstance(value, Final) or len(value.values) == 1:
        return value if isinstance(value, Layers) else None
    axes = (LAYER, *value.axes[1:])
    return Layers(tuple(Final((v,), (slot,), axes) for v, slot in zip(value.values, value.slots, strict=True)))


def _layer_by_layer(trace: Trace, node: onnx.NodeProto, stacks: dict[str, Layers], handler: Handler) -> list[Value]:
    """Run a handler for each layer by itself."""
    if len(counts := {len(stack.parts) for stack in stacks.values()}) > 1:
        raise unsupported(node, f"its operands have {sorted(counts)} layers", EXPORT_AGAIN)
    before = {name: trace.values[name] for name in stacks}
    made = []
    for layer in range(counts.pop()):
        trace.values.update({name: stack.parts[layer] for name, stack in stacks.items()})
        made.append([value for value in handler(trace, node) if isinstance(value, Signal | Final)])
    trace.values.update(before)
    return [Layers(parts) for parts in zip(*made, strict=True)]


def _without(stack: Layers, axis: str | None) -> tuple[str, ...]:
    """Return the axes of one layer, with another axis in the place of the layers, or without one."""
    return tuple(axis if a == LAYER else a for a in stack.axes if a != LAYER or axis is not None)  # type: ignore[misc]


def stacked(signals: list[Signal], axis: int) -> Layers | None:
    """Return signals joined along an axis of size 1 of each, or None if they have none there."""
    alike = {signal.axes for signal in signals}
    if len(alike) > 1 or signals[0].axes[axis] != ONE:
        return None
    place = axis % len(signals[0].axes)
    axes = tuple(LAYER if i == place else a for i, a in enumerate(signals[0].axes))
    return Layers(tuple(replace(signal, axes=axes) for signal in signals))


def joined_state(trace: Trace, node: onnx.NodeProto) -> Final | None:
    """Return final states joined layer after layer, as a state of several layers is written; None for other values."""
    values = [trace.values.get(name) for name in node.input]
    finals = [value for value in values if isinstance(value, Final)]
    if len(finals) < len(values) or attributes(node)["axis"] != 0:
        return None
    parts = [(value, slot) for final in finals for value, slot in zip(final.values, final.slots, strict=True)]
    made, slots = zip(*parts, strict=True)
    return Final(made, slots, finals[0].axes)


def _chosen(stack: Layers, chosen: tuple[Part, ...]) -> Value:
    return Layers(chosen) if len(chosen) > 1 else replace(chosen[0], axes=_without(stack, ONE))


# ---- along the layers ----


def _reduce(trace: Trace, node: onnx.NodeProto, stack: Layers) -> list[Value] | None:
    numbers, kept = trace.integers(node, 1, "axes") or [], attributes(node).get("keepdims", 1)
    if [stack.axes[a] for a in numbers] != [LAYER]:
        return None
    values = _values(trace, node, stack)
    made = reduce(lambda a, b: trace.emit(Binary((a, b), SUMS[node.op_type])), values)
    if node.op_type == "ReduceMean":
        made = trace.emit(Elementwise((made,), "div", np.full(trace.widths[made], len(values), np.float32)))
    return [Signal(made, _without(stack, ONE if kept else None))]


def _gather(trace: Trace, node: onnx.NodeProto, stack: Layers) -> list[Value] | None:
    index, axis = trace.constant(node, 1), int(attributes(node).get("axis", 0))
    if index is None or stack.axes[axis] != LAYER:
        return None
    if np.any((index < -len(stack.parts)) | (index >= len(stack.parts))):
        raise unsupported(node, f"it takes layer {index.tolist()} of {len(stack.parts)}", EXPORT_AGAIN)
    chosen = tuple(stack.parts[int(i)] for i in np.ravel(index))
    return [_chosen(stack, chosen) if index.ndim else replace(chosen[0], axes=_without(stack, None))]


def _slice(trace: Trace, node: onnx.NodeProto, stack: Layers) -> list[Value] | None:
    starts, ends, axes, steps = (
        trace.integers(node, i, k) for i, k in enumerate(("starts", "ends", "axes", "steps"), 1)
    )
    if not starts or not ends or not axes or [stack.axes[a] for a in axes] != [LAYER]:
        return None
    chosen = stack.parts[slice(starts[0], ends[0], steps[0] if steps else 1)]
    return [_chosen(stack, chosen)] if chosen else None


def _split(trace: Trace, node: onnx.NodeProto, stack: Layers) -> list[Value] | None:
    sizes = trace.integers(node, 1, "split") or [1] * len(node.output)
    if stack.axes[int(attributes(node).get("axis", 0))] != LAYER or sum(sizes) != len(stack.parts) or 0 in sizes:
        return None
    starts = np.cumsum([0, *sizes[:-1]])
    return [_chosen(stack, stack.parts[int(a) : int(a) + size]) for a, size in zip(starts, sizes, strict=True)]


def _concat(trace: Trace, node: onnx.NodeProto, stack: Layers) -> list[Value] | None:
    state = joined_state(trace, node)
    if state is not None:
        return [state]
    if stack.axes[int(attributes(node)["axis"])] != LAYER:
        return None
    parts = [_parts_along(trace.values.get(name), stack.axes) for name in node.input]
    return None if None in parts else [Layers(tuple(part for each in parts for part in each or ()))]


def _parts_along(value: Value | None, axes: tuple[str, ...]) -> tuple[Part, ...] | None:
    """Return the layers of a value that is joined with others along the layers; None if it has other axes."""
    known = layers_of(value)
    if known is not None:
        return known.parts if known.axes == axes else None
    if not isinstance(value, Signal | Final):
        return None
    single = tuple(ONE if axis == LAYER else axis for axis in axes)
    return (replace(value, axes=axes),) if value.axes == single else None


def _values(trace: Trace, node: onnx.NodeProto, stack: Layers) -> list[int]:
    signals = [signal for part in stack.parts if (signal := trace.resolved(part))]
    if len(signals) < len(stack.parts):
        raise unsupported(node, f"its input {node.input[0]!r} is not a signal that the engine can follow")
    return [signal.value for signal in signals]


def _shape(trace: Trace, node: onnx.NodeProto, stack: Layers) -> list[Value]:
    return [axis_sizes(node, stack.axes, _width(trace, stack.parts[0]), len(stack.parts))]


def _width(trace: Trace, part: Part) -> int:
    if isinstance(part, Signal):
        return trace.widths[part.value]
    (made,), (slot,) = part.values, part.slots
    return trace.widths[made] if isinstance(made, int) else int(trace.state_shape(slot)[-1])


def _joined(trace: Trace, node: onnx.NodeProto, stack: Layers) -> Signal:
    """Return one signal: the features of the first layer, then those of the next."""
    layer, feature = (stack.axes.index(axis) for axis in (LAYER, FEATURE))
    if layer > feature or TIME in stack.axes[layer:feature]:
        raise unsupported(node, f"it joins the layers of ({', '.join(stack.axes)}), wanted features after the layers")
    made = reduce(lambda a, b: trace.emit(Concat((a, b))), _values(trace, node, stack))
    return Signal(made, _without(stack, ONE))


def _reshape(trace: Trace, node: onnx.NodeProto, stack: Layers) -> list[Value]:
    target = target_of(trace, node)
    if stack.axes[0] != LAYER or target[0] not in (0, len(stack.parts)):
        return [reshaped(trace, node, _joined(trace, node, stack), target)]
    parts = [Signal(value, stack.axes[1:]) for value in _values(trace, node, stack)]
    made = [reshaped(trace, node, part, target[1:]) for part in parts]
    signals = [part for part in made if isinstance(part, Signal)]
    if len(signals) < len(made):
        raise unsupported(node, f"it turns the features of ({', '.join(stack.axes)}) into several axes: {list(target)}")
    return [Layers(tuple(replace(part, axes=(LAYER, *part.axes)) for part in signals))]


def _flatten(trace: Trace, node: onnx.NodeProto, stack: Layers) -> list[Value]:
    return [flattened(node, _joined(trace, node, stack))]


Along = Callable[[Trace, onnx.NodeProto, Layers], list[Value] | None]  # None: it works layer by layer
ALONG: dict[str, Along] = {
    **dict.fromkeys(SUMS, _reduce),
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Shape": _shape,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Concat": _concat,
}
