"""Axes of an ONNX graph: which one counts frames and which one streams, found from the input of a recurrent layer.

Shapes are inferred twice, each time with other sizes for the free axes of the input. A size that equals a free axis
both times follows that axis. Inference with names instead of sizes would be shorter, but it fails at every
convolution and at most reshapes.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from ...runtime.arrays import Array
from ...runtime.cells import CELLS
from ...runtime.contract import Port
from ...runtime.errors import ContractError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from .constants import fold_constants
from .editing import inferred
from .recurrent_nodes import ONE_FRAME, recurrent_nodes, signal_of

Dims = tuple[int | str | None, ...]
"""A shape. Each entry is a size, the name of the axis that the size follows, or None if neither is known."""

# Primes: no product or sum of small constants equals one of them in both rounds.
_SIZES = ((1009, 1021, 1033, 1049, 1061), (1013, 1031, 1039, 1051, 1063))

_MOST_AXES = 8  # of a tensor; more numbers are no shape

# Operators that compute sizes; none of them makes a large tensor from a small one.
_OF_SIZES = frozenset(
    (
        *("Add", "Cast", "Concat", "Div", "Equal", "Gather", "Mul"),
        *("Not", "Reshape", "Size", "Slice", "Squeeze", "Sub", "Unsqueeze", "Where"),
    )
)


@dataclass(frozen=True)
class Axes:
    """The axes of the signal input.

    Attributes:
        time: The axis that counts frames.
        batch: The axis that counts streams; None if the model takes one sequence without a batch.
    """

    time: int
    batch: int | None

    def named(self, dims: Dims) -> Dims:
        """Return a shape in which the input's axes are named `time` and `batch`."""
        names = {_follows(self.time): "time"}
        if self.batch is not None:
            names[_follows(self.batch)] = "batch"
        return tuple(names.get(d) if isinstance(d, str) else d for d in dims)


def signal_input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """Return the graph's first input that is not a weight; others are static inputs.

    Raises:
        ContractError: There is no such input.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    found = next((item for item in model.graph.input if item.name not in weights), None)
    if found is None:
        raise ContractError("the graph has no input, wanted one signal")
    return found


def trace_dims(model: onnx.ModelProto, free: Sequence[int]) -> dict[str, Dims]:
    """Return the shapes of all values of known rank; a size that follows axis i of the input is `axis<i>`.

    Args:
        model: An ONNX model with one signal input.
        free: The axes of the input whose sizes may vary.
    """
    source = signal_input(model).name
    first, second = (sized_model(model, source, dict(zip(free, sizes, strict=False)))[1] for sizes in _SIZES)
    known = {name: dims for name, dims in first.items() if len(second.get(name, ())) == len(dims)}
    return {name: _compare(dims, second[name], free) for name, dims in known.items()}


def settled_values(model: onnx.ModelProto, source: str, free: Sequence[int], names: Sequence[str]) -> dict[str, Array]:
    """Return the values that are computed from sizes and do not depend on the free sizes.

    Args:
        model: An ONNX model.
        source: Its signal input. A size that another input leaves open is set to that of the first free axis.
        free: The axes of the signal whose sizes may vary.
        names: The values to look at.
    """
    first, second = (Graph(sized_model(model, source, dict(zip(free, s, strict=False)))[0]) for s in _SIZES)
    pairs = {name: (first.constant(name), second.constant(name)) for name in names}
    return {name: a for name, (a, b) in pairs.items() if a is not None and b is not None and np.array_equal(a, b)}


def find_axes(model: onnx.ModelProto, dims: dict[str, Dims]) -> Axes:
    """Return time and batch, found from the X of each recurrent node, which is [time, batch, features] in ONNX.

    The batch may also hold other axes (bands); a node whose batch holds the frames runs inside a frame.

    Raises:
        ContractError: A recurrent node runs along no free axis of the input, or two nodes disagree.
    """
    graph = Graph(model)
    nodes = recurrent_nodes(graph)
    times = {dims.get(signal_of(node), (None,))[0] for node in nodes}
    inside = [node for node in nodes if _runs_inside(graph, dims, node, times)]
    found = {label(node): _axes_of(graph, node, dims) for node in nodes if node not in inside}
    (first, axes), *others = found.items()
    for name, seen in others:
        if seen != axes:
            raise ContractError(
                f"{name} runs along axis {seen.time} of the input, {first} along axis {axes.time}; "
                "wanted the same for all: check batch_first of each layer"
            )
    return axes


def output_ports(model: onnx.ModelProto, dims: dict[str, Dims], axes: Axes) -> tuple[Port, ...]:
    """Return the ports of the graph outputs.

    Raises:
        ContractError: A size is not known, time occurs twice, or an output has no batch axis.
    """
    return tuple(_port(item.name, axes.named(dims.get(item.name, (None,))), axes) for item in model.graph.output)


def set_dims(item: onnx.ValueInfoProto, dims: Dims) -> None:
    """Write a shape into an input or output: numbers as sizes, strings as axis names."""
    shape = item.type.tensor_type.shape
    del shape.dim[:]
    for size in dims:
        dim = shape.dim.add()
        if isinstance(size, str):
            dim.dim_param = size
        elif size is not None:
            dim.dim_value = size


def shape_of(item: onnx.ValueInfoProto) -> Dims:
    """Return the shape in the type of an input or output."""
    dims = item.type.tensor_type.shape.dim
    return tuple(d.dim_param or (d.dim_value if d.HasField("dim_value") else None) for d in dims)


def sized_model(model: onnx.ModelProto, source: str, sizes: dict[int, int]) -> tuple[onnx.ModelProto, dict[str, Dims]]:
    """Return a copy in which the signal's axes have sizes and computed sizes are constants, and its shapes.

    Args:
        model: An ONNX model.
        source: Its signal input.
        sizes: Sizes for axes of the signal.
    """
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    first = next(iter(sizes.values()), None)
    for item in sized.graph.input:
        dims = shape_of(item)
        if item.name == source:
            set_dims(item, tuple(sizes.get(i, size) for i, size in enumerate(dims)))
        else:
            set_dims(item, tuple(size if isinstance(size, int) else _size_of(size, sizes, first) for size in dims))
    del sized.graph.value_info[:]
    for output in sized.graph.output:  # or the exporter's own guess would be merged in
        output.type.tensor_type.ClearField("shape")
    shapes = _infer(sized)
    while _settle_sizes(sized, shapes):
        shapes |= _infer(sized)
    return sized, shapes


def _size_of(name: str | None, sizes: dict[int, int], other: int | None) -> int | None:
    """Return a free size of a static input: that of the axis of the signal that it is named after, which may be 1."""
    followed = {_follows(axis): size for axis, size in sizes.items()}
    return followed.get(name, 1) if name and re.fullmatch(r"axis\d+", name) else other


def _infer(model: onnx.ModelProto) -> dict[str, Dims]:
    graph = inferred(model)
    known = (*graph.input, *graph.value_info, *graph.output)
    return {item.name: shape_of(item) for item in known if item.type.tensor_type.HasField("shape")}


def _settle_sizes(model: onnx.ModelProto, shapes: dict[str, Dims]) -> bool:
    """Replace each Shape node whose result is known by a constant; return whether there was one.

    Shape inference follows sizes by itself, but not into the bounds of a Slice (`y[..., : x.size(-1)]`).
    """
    asking = [node for node in model.graph.node if node.op_type == "Shape" and _is_known(shapes.get(node.input[0]))]
    for node in asking:
        given = attributes(node)
        sizes = shapes[node.input[0]][given.get("start", 0) : given.get("end")]
        model.graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), node.output[0]))
        model.graph.node.remove(node)
    _settle_fills(model, shapes)
    fold_constants(model, _OF_SIZES)
    return bool(asking)


def _settle_fills(model: onnx.ModelProto, shapes: dict[str, Dims]) -> None:
    """Replace each ConstantOfShape that makes a shape by a constant: torch writes one for `expand`."""
    fills = [node for node in model.graph.node if node.op_type == "ConstantOfShape"]
    for node in fills:
        size, *others = (*shapes.get(node.output[0], ()), None)
        if isinstance(size, int) and others == [None] and size <= _MOST_AXES:
            given = attributes(node).get("value")
            value = np.zeros(1, np.float32) if given is None else numpy_helper.to_array(given)
            model.graph.initializer.append(numpy_helper.from_array(np.repeat(value, size), node.output[0]))
            model.graph.node.remove(node)


def _is_known(dims: Dims | None) -> bool:
    return dims is not None and all(isinstance(size, int) for size in dims)


def _compare(first: Dims, second: Dims, free: Sequence[int]) -> Dims:
    followed = {(a, b): _follows(axis) for axis, a, b in zip(free, *_SIZES, strict=False)}
    pairs = zip(first, second, strict=True)
    return tuple(a if a == b else followed.get((a, b)) for a, b in pairs)  # type: ignore[arg-type] # any pair


def _follows(axis: int) -> str:
    return f"axis{axis}"


def batch_of(graph: Graph, dims: Mapping[str, Dims], node: onnx.NodeProto) -> Dims:
    """Return the sizes of the axes that the batch of a recurrent node is made of; (None,) if they are not known.

    A Reshape before the node, and perhaps Transposes and functions between, folded them into one.
    """
    name, axis = signal_of(node), 1
    for _ in graph.model.graph.node:
        shape, maker = dims.get(name, ()), graph.producer(name)
        if axis >= len(shape) or shape[axis] is not None:
            return (shape[axis],) if axis < len(shape) else (None,)
        folded = maker is not None and maker.op_type == "Reshape"
        if maker is None or folded:
            return (None,) if maker is None else _folded(dims.get(maker.input[0], ()), shape, axis)
        name, axis = _before(graph, dims, maker, axis)
    return (None,)


def _folded(before: Dims, after: Dims, axis: int) -> Dims:
    """Return the adjacent axes that a Reshape folds into one; what follows them may be cut otherwise, [6] as [3, 2]."""
    if before[:axis] != after[:axis]:
        return (None,)
    ends = (end for end in range(len(before), axis, -1) if _values(before[end:]) == _values(after[axis + 1 :]))
    return next((before[axis:end] for end in ends), (None,))


def _values(dims: Dims) -> Dims | int:
    """Return how many values sizes hold, or the sizes themselves if one is not known."""
    known = [size for size in dims if isinstance(size, int)]
    return prod(known) if len(known) == len(dims) else dims


def _before(graph: Graph, dims: Mapping[str, Dims], node: onnx.NodeProto, axis: int) -> tuple[str, int]:
    """Return the input of a node, and its axis, that an axis of the node's first output follows."""
    name = node.input[0]
    if node.op_type in CELLS:
        return signal_of(node), 1
    if node.op_type == "Transpose":
        return name, attributes(node)["perm"][axis]
    if node.op_type in ("Squeeze", "Unsqueeze"):
        listed = graph.constant(node.input[1]) if len(node.input) > 1 else None
        longer = dims.get(name if node.op_type == "Squeeze" else node.output[0], ())
        gone = [] if listed is None else [int(a) % len(longer) for a in listed]
        kept = [a for a in range(len(longer)) if a not in gone]
        return name, kept[axis] if node.op_type == "Squeeze" else (kept.index(axis) if axis in kept else len(longer))
    rank = len(dims.get(node.output[0], ()))
    return next((one for one in node.input if len(dims.get(one, ())) == rank and dims[one][axis] is None), ""), axis


def _runs_inside(graph: Graph, dims: Mapping[str, Dims], node: onnx.NodeProto, times: Collection[object]) -> bool:
    """Return whether a recurrent node runs over a fixed number of steps, and its batch holds the frames."""
    steps = dims.get(signal_of(node), (None,))[0]
    frames = {size for size in batch_of(graph, dims, node) if isinstance(size, str)}
    return isinstance(steps, int) and steps > 1 and not frames.isdisjoint(times)


def _axes_of(graph: Graph, node: onnx.NodeProto, dims: dict[str, Dims]) -> Axes:
    read = dims.get(signal_of(node), (None,))
    time, folded = _number(read[0]), batch_of(graph, dims, node)
    streams = [size for size in folded if isinstance(size, str)]
    batch = _number(streams[0]) if len(streams) == 1 else None
    if time is None:
        way_out = "the forward may fix the length, skip frames or fold time into the batch"
        if read[0] == 1:
            way_out = ONE_FRAME
        raise ContractError(
            f"{label(node)} reads {shape_text(read)} as [time, batch, features]: its frames are not those of "
            f"the input, wanted one for each; {way_out}"
        )
    if None in folded or len(streams) > 1:
        raise ContractError(
            f"{label(node)} reads {shape_text(read)} as [time, batch, features]: its batch is not that of the "
            "input, wanted one entry per stream; do not mix the batch axis with others"
        )
    return Axes(time, batch)


def _number(size: int | str | None) -> int | None:
    return int(size.removeprefix("axis")) if isinstance(size, str) else None


def shape_text(dims: Dims) -> str:
    """Return a shape as text for messages."""
    return f"[{', '.join('?' if size is None else str(size) for size in dims)}]"


def _port(name: str, dims: Dims, axes: Axes) -> Port:
    times, batches = dims.count("time"), dims.count("batch")
    if None in dims or times > 1 or batches != int(axes.batch is not None):
        wanted = "fixed sizes" + (", time at most once" if axes.batch is None else ", batch once and time at most once")
        raise ContractError(
            f"output {name!r} has shape {shape_text(dims)}, wanted {wanted}; "
            "return one entry per frame or that of the last frame, and keep the batch axis: squeeze() may drop it, and "
            "reshape() and view() by numbers fix sizes: use x.shape as it is"
        )
    position = {size: i for i, size in enumerate(dims) if isinstance(size, str)}
    return Port(name, position.get("time"), position.get("batch"))
