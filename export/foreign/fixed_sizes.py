"""Files whose sizes are all fixed: their Reshapes say the length and the number of streams of the example.

If a run takes one frame of one stream, frames and streams cannot be told apart by their sizes: TensorFlow's
transposition of [1, 1, 8] is a Reshape to [1, 1, 8]. There the streams are followed from the signal on.
"""

from collections.abc import Sequence
from math import prod

import numpy as np
import onnx
from onnx import helper

from ...runtime.cells import CELLS
from ...runtime.graph.graph import Graph
from ..graph.axes import Dims, shape_of, sized_model
from ..graph.editing import add_constant, input_named, sort_nodes, unused, value_names
from ..graph.recurrent_nodes import operand
from .squeezes import dropped_ones

_STREAMS = 1009  # a prime: no size of a file is likely to be it


def follow_streams(model: onnx.ModelProto, source: str) -> None:
    """Let each Squeeze and Reshape of a file for one frame of one stream keep the axis of streams, in place.

    Args:
        model: An ONNX model whose signal is `[1, 1, ...]`; others stay as they are.
        source: Its signal input.
    """
    declared = shape_of(input_named(model, source))
    if declared[:2] != (1, 1) or len(declared) < 3 or not all(isinstance(size, int) for size in declared):
        return
    for name in [node.output[0] for node in model.graph.node if node.op_type in ("Reshape", "Squeeze")]:
        graph = Graph(model)
        node, shapes = graph.producer(name), sized_model(model, source, {0: _STREAMS})[1]
        stated = None if node is None else graph.constant(operand(node, 1))
        before = shapes.get(node.input[0] if node else "", ())
        if node is None or stated is None or _STREAMS not in before:
            continue
        if node.op_type == "Squeeze":
            node.input[1] = _constant(model, f"{name}/streams", _squeezed(before, stated.ravel().tolist()))
        elif stated.size and stated[0] == 1:
            _follow_reshape(graph, node, before, (_STREAMS, *stated[1:].tolist()))


def _squeezed(before: Dims, axes: Sequence[int]) -> list[int]:
    """Return the axes of size 1 that a Squeeze drops, with another one in the place of that of the streams."""
    dropped, streams = [axis % len(before) for axis in axes], before.index(_STREAMS)
    ones = [axis for axis, size in enumerate(before) if size == 1 and axis not in dropped]
    return sorted(ones[0] if axis == streams and ones else axis for axis in dropped)


def _follow_reshape(graph: Graph, node: onnx.NodeProto, before: Dims, after: Dims) -> None:
    """Let a Reshape give streams first, in place; in front of a layer of ONNX they come second, after time."""
    (source, _), (made,) = node.input, node.output
    kinds = (("Squeeze", dropped_ones(before, after)), ("Unsqueeze", dropped_ones(after, before)))
    operator, axes = next((kind for kind in kinds if kind[1]), ("Reshape", [-1, *after[1:]]))
    if before == after and len(after) == 3 and any(reader.op_type in CELLS for reader in graph.consumers(made)):
        node.CopyFrom(helper.make_node("Transpose", [source], [made], node.name, perm=[1, 0, 2]))
        return
    numbers = _constant(graph.model, f"{made}/streams", [size for size in axes if isinstance(size, int)])
    node.CopyFrom(helper.make_node(operator, [source, numbers], [made], node.name))


def open_sizes(model: onnx.ModelProto, source: str) -> None:
    """Let each Reshape of a file with fixed sizes keep the length and the number of streams open, in place.

    `[4, 20, 8]` to `[4, 20, 2, 4]` is `[0, 0, 2, 4]`, to `[80, 8]` it is `[-1, 8]`, and back it is the first two sizes
    of the signal, then 8.

    Args:
        model: An ONNX model.
        source: Its signal input. If one of its sizes is open, the Reshapes are right already.
    """
    declared = shape_of(input_named(model, source))
    if not all(isinstance(size, int) for size in declared):
        return
    graph, shapes, reading = Graph(model), sized_model(model, source, {})[1], list[onnx.NodeProto]()
    for node in [node for node in model.graph.node if node.op_type == "Reshape"]:
        stated, before = graph.constant(operand(node, 1)), shapes.get(node.input[0], (None,))
        sizes = [size for size in before if isinstance(size, int)]
        if stated is None or 0 in stated or len(sizes) < len(before) or stated[:1].tolist() == [-1]:
            continue
        target = _resolved(stated.tolist(), prod(sizes))
        opened = _opened(sizes, target)
        if opened != target:
            left = [-1 if size == -1 and -1 not in opened else new for size, new in zip(stated, opened, strict=True)]
            node.input[1] = _constant(model, f"{node.output[0]}/open", left)
        elif sizes and len(target) > 2 and sizes[0] == prod(target[:2]):
            reading += _unfold(model, node, source, declared, target)
    model.graph.node.extend(reading)
    sort_nodes(model)


def _resolved(target: Sequence[int], count: int) -> list[int]:
    """Return a target in which -1 is a size, for a number of values."""
    return [count // prod(size for size in target if size > 0) if size == -1 else size for size in target]


def _opened(before: Sequence[int], target: Sequence[int]) -> list[int]:
    """Return a target that keeps the first sizes, or folds them; as it is if it does neither."""
    same = [one == other for one, other in zip(before, target, strict=False)]
    kept = [*same, False].index(False)
    if kept:
        return [*([0] * kept), *target[kept:]]
    folds = any(target[0] == prod(before[:count]) for count in range(2, len(before) + 1))
    return [-1, *target[1:]] if folds else list(target)


def _unfold(
    model: onnx.ModelProto, node: onnx.NodeProto, source: str, declared: Dims, target: Sequence[int]
) -> list[onnx.NodeProto]:
    """Let a Reshape that takes two folded axes of the signal apart read their sizes; return the nodes that read."""
    axes = next(([i, i + 1] for i in range(len(declared) - 1) if list(declared[i : i + 2]) == list(target[:2])), None)
    if axes is None:
        return []
    both, rest = (_constant(model, f"{node.output[0]}/{part}", n) for part, n in (("axes", axes), ("rest", target[2:])))
    shape, first, sizes = (
        unused(f"{node.output[0]}/{part}", value_names(model)) for part in ("shape", "first", "sizes")
    )
    node.input[1] = sizes
    return [
        helper.make_node("Shape", [source], [shape]),
        helper.make_node("Gather", [shape, both], [first]),
        helper.make_node("Concat", [first, rest], [sizes], axis=0),
    ]


def _constant(model: onnx.ModelProto, name: str, numbers: Sequence[int]) -> str:
    return add_constant(model, name, np.array(numbers, np.int64))
