"""Rows around a frame: what a convolution, a pool or a moved signal reads of the rows of other frames.

Inside, frames are in the batch. A window takes them out, joins the rows of earlier and later frames (`frames.framed`),
and puts the wider frames back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import onnx
from onnx import helper

from ...runtime.arrays import Array
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.axes import signal_input
from ..graph.editing import add_constant, copied
from ..graph.recurrent_nodes import operand
from ..states.tails import zeros_around
from .frames import framed

POOLS = ("AveragePool", "MaxPool")
_FIRST = 2  # the first axis of a kernel in the input of a convolution, [batch, channels, ...]
_POSITIVE = ("Abs", "Exp", "Relu", "Sigmoid", "Softmax", "Softplus")


@dataclass(frozen=True)
class Place:
    """Where the rows of a value are inside of frames.

    Attributes:
        name: The value with frames in its batch.
        batch: The axis of streams and frames.
        time: The axis of rows; `batch` if they are folded into it too.
        rows: Rows of a frame.
        shift: Rows by which the signal is later than its frame: zeros were put before it.
        pad: The name of the node that put them there.
    """

    name: str
    batch: int
    time: int
    rows: int
    shift: int = 0
    pad: str = ""


@dataclass(frozen=True)
class _Reach:
    """What each answer reads along time.

    Attributes:
        taps: Rows from the first to the last that it reads.
        stride: Rows from one answer to the next.
        before: Zeros before the first row.
        pads: The zeros at the ends of the other axes, in the order of ONNX.
    """

    taps: int
    stride: int
    before: int
    pads: tuple[int, ...]


def shifted(node: onnx.NodeProto) -> bool:
    """Return whether a node may read rows of other frames, or move them."""
    return node.op_type in ("Conv", "Pad", "Slice", *POOLS)


def window_of(
    model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto, places: tuple[Place, Place], sizes: Sequence[int]
) -> tuple[list[onnx.NodeProto], Place]:
    """Return nodes in place of one that may read rows of other frames, and the place of its answer.

    Args:
        model: The model, which gets constants.
        graph: The model as it was.
        node: The node.
        places: The places of its input and of its answer.
        sizes: The sizes of its input inside a frame; -1 for that of streams and frames.

    Raises:
        UnsupportedError: The node moves rows in a way that no stream can follow.
    """
    source, answer = places
    if node.op_type == "Pad":
        return _padded(model, graph, node, places)
    if node.op_type == "Slice":
        return _sliced(model, graph, node, places, sizes)
    reach = _reach(graph, node, source, sizes)
    _check(graph, node, reach)
    before, length = reach.before + source.shift, source.rows - reach.stride + reach.taps
    wide, nodes = source.name, list[onnx.NodeProto]()
    if (before, length) != (0, source.rows):
        wide = f"{answer.name}/window"
        nodes = joined_rows(model, node.name, source, sizes, (before, length), wide)
    return [*nodes, _unpadded(node, wide, answer.name, reach.pads)], answer


def joined_rows(  # noqa: PLR0917
    model: onnx.ModelProto, path: str, place: Place, sizes: Sequence[int], span: tuple[int, int], name: str
) -> list[onnx.NodeProto]:
    """Return nodes that give each frame rows of others.

    Args:
        model: The model, which gets constants.
        path: The name of the node that reads them: it names the tail.
        place: Where the rows are.
        sizes: The sizes of the value inside a frame.
        span: How many rows come before the first of the frame, and how many are read in all.
        name: The name of the wider value.
    """
    if place.batch == place.time:
        raise UnsupportedError(f"value {place.name!r} has rows and streams in one axis, wanted an axis for each")
    rest = [axis for axis in range(len(sizes)) if axis not in (place.batch, place.time)]
    others = [sizes[axis] for axis in rest]
    order, each = [place.batch, place.time, *rest], prod(others)
    flat, wide, back = f"{name}/flat", f"{name}/wide", f"{name}/back"
    target = add_constant(model, f"{name}/target", np.array([-1, span[1], *others], np.int64))
    marker = helper.make_node("Frames", [flat], [wide], path)
    return [
        *streams_and_frames(model, signal_input(model).name, f"{name}/sizes", [place.rows * each]),
        helper.make_node("Transpose", [place.name], [f"{name}/turned"], f"{name}/Turn", perm=order),
        helper.make_node("Reshape", [f"{name}/turned", f"{name}/sizes"], [flat], f"{name}/Flat"),
        *framed(model, marker, 1, place.rows * each, (span[0] * each, span[1] * each)),
        helper.make_node("Reshape", [wide, target], [back], f"{name}/Back"),
        helper.make_node("Transpose", [back], [name], f"{name}/Window", perm=np.argsort(order).tolist()),
    ]


def streams_and_frames(model: onnx.ModelProto, source: str, name: str, others: Sequence[int]) -> list[onnx.NodeProto]:
    """Return nodes that make sizes: those of streams and frames, with which the signal begins, then others."""
    lead = add_constant(model, f"{name}/lead", np.array([0, 1], np.int64))
    rest = add_constant(model, f"{name}/others", np.array(others, np.int64))
    return [
        helper.make_node("Shape", [source], [f"{name}/all"]),
        helper.make_node("Gather", [f"{name}/all", lead], [f"{name}/both"]),
        helper.make_node("Concat", [f"{name}/both", rest], [name], axis=0),
    ]


def _padded(
    model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto, places: tuple[Place, Place]
) -> tuple[list[onnx.NodeProto], Place]:
    """Follow zeros before and after the rows; zeros along other axes stay."""
    source, answer = places
    sizes = zeros_around(graph, node)
    if sizes is None:
        plain = _without_time(graph, node, source)
        return [copied(node, [source.name, *node.input[1:]], [answer.name])], replace(answer, shift=plain)
    around: Array = sizes.reshape(2, -1).copy()
    before = int(around[0, source.time])
    around[:, source.time] = 0
    pads = add_constant(model, f"{answer.name}/pads", around.ravel())
    return [copied(node, [source.name, pads, *node.input[2:]], [answer.name])], replace(
        answer, shift=source.shift + before, pad=node.name
    )


def _without_time(graph: Graph, node: onnx.NodeProto, source: Place) -> int:
    """Return the shift after a Pad that is none of zeros; refuse it if it pads the rows."""
    sizes = graph.constant(operand(node, 1))
    if sizes is None or operand(node, 3) or sizes.reshape(2, -1)[:, source.time].any() or source.shift:
        raise UnsupportedError(f"{label(node)}: it pads the rows, and not by zeros; wanted zeros before the first row")
    return 0


def _sliced(
    model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto, places: tuple[Place, Place], sizes: Sequence[int]
) -> tuple[list[onnx.NodeProto], Place]:
    """Follow a cut of the rows: a start moves them, an end is the end of the signal, a step skips some."""
    source, answer = places
    starts, axes, steps = (graph.constant(operand(node, place)) for place in (1, 3, 4))
    axes = np.arange(len(sizes)) if axes is None and not operand(node, 3) else axes
    if starts is None or axes is None or (steps is None and operand(node, 4)):
        raise UnsupportedError(f"{label(node)}: it cuts the rows at places that are no constants; wanted constants")
    steps = np.ones(len(starts), np.int64) if steps is None else steps
    along = [i for i, axis in enumerate(axes.ravel()) if axis % len(sizes) == source.time]
    if not along:
        copy = copied(node, [source.name, *node.input[1:]], [answer.name])
        return [copy], replace(answer, shift=source.shift, pad=source.pad)
    start, step = int(starts[along[0]]), int(steps[along[0]])
    if len(axes) > 1 or start < 0 or step < 1:
        raise UnsupportedError(
            f"{label(node)}: it cuts the rows from {start} on in steps of {step}, wanted a start from 0 on, along this "
            "axis alone"
        )
    moved = replace(source, shift=source.shift - start)
    if step == 1:
        return [helper.make_node("Identity", [source.name], [answer.name], f"{answer.name}/Moved")], replace(
            answer, shift=moved.shift, pad=source.pad or node.name
        )
    here = f"{answer.name}/here" if moved.shift else source.name
    nodes = joined_rows(model, node.name, source, sizes, (moved.shift, source.rows), here) if moved.shift else []
    bounds = [add_constant(model, f"{answer.name}/{key}", np.array([n], np.int64)) for key, n in
              (("start", 0), ("end", source.rows), ("axis", source.time), ("step", step))]  # fmt: skip
    return [*nodes, helper.make_node("Slice", [here, *bounds], [answer.name], f"{answer.name}/Slice")], answer


def _reach(graph: Graph, node: onnx.NodeProto, place: Place, sizes: Sequence[int]) -> _Reach:
    given, at = attributes(node), place.time - _FIRST
    weights = graph.constant(operand(node, 1)) if node.op_type == "Conv" else None
    kernel = list(given.get("kernel_shape", ()) if weights is None else weights.shape[_FIRST:])
    rank = len(kernel)
    strides, dilations = given.get("strides", [1] * rank), given.get("dilations", [1] * rank)
    if not kernel or not 0 <= at < rank or place.batch:
        raise UnsupportedError(f"{label(node)}: it mixes the rows with channels or streams; wanted a kernel along rows")
    reaches = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = list(given.get("pads", [0] * 2 * rank))
    way = given.get("auto_pad", "NOTSET")
    if way.startswith("SAME"):
        total = [
            max(reach - (stride if size % stride == 0 else size % stride), 0)
            for reach, stride, size in zip(reaches, strides, sizes[_FIRST:], strict=True)
        ]
        less, more = [n // 2 for n in total], [n - n // 2 for n in total]
        pads = [*less, *more] if way == "SAME_UPPER" else [*more, *less]
    before = pads[at]
    pads[at] = pads[at + rank] = 0
    return _Reach(reaches[at], strides[at], before, tuple(pads))


def _check(graph: Graph, node: onnx.NodeProto, reach: _Reach) -> None:
    """Refuse a pool whose zeros are no zeros: at the start of a stream it leaves them out."""
    maker = graph.producer(node.input[0])
    while maker is not None and maker.op_type in ("Transpose", "Unsqueeze", "Squeeze", "Pad"):
        maker = graph.producer(maker.input[0])
    positive = maker is not None and maker.op_type in _POSITIVE
    counted = bool(attributes(node).get("count_include_pad", 0))
    if reach.before and not (node.op_type == "Conv" or (positive if node.op_type == "MaxPool" else counted)):
        raise UnsupportedError(
            f"{label(node)}: it pools rows with {reach.before} before the first that do not count; wanted padding 0 "
            "along time, a MaxPool after a ReLU, or count_include_pad"
        )


def _unpadded(node: onnx.NodeProto, source: str, answer: str, pads: Sequence[int]) -> onnx.NodeProto:
    """Return a copy of a node that pads the axes inside a frame only."""
    return copied(node, [source, *node.input[1:]], [answer], ["auto_pad", "ceil_mode"], pads=list(pads))
