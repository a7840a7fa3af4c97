"""Framing of samples: from markers in the trace to standard operators over frames of one hop.

The graph was traced over samples, `[batch, samples]`. A frame of the file is the samples of one hop, so the input
becomes `[batch, frames, hop]`, and so does each value that is still samples. Only functions sample by sample may read
these.
Frames that overlap are hops of earlier frames, put before the new one.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper

from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.axes import set_dims, shape_of
from ..graph.constants import fold_constants
from ..graph.editing import END, add_constant, input_named, set_nodes
from ..graph.markers import EARLIER, FRAMES, is_marker

_PER_SAMPLE = frozenset(
    ("Abs", "Add", "Cast", "Clip", "Div", "Identity", "Max", "Min", "Mul", "Neg", "Sign", "Sqrt", "Sub", "Tanh")
)


def write_frames(model: onnx.ModelProto, source: str, hop: int | None) -> None:
    """Replace each marker of a front end by standard operators, and let the input count frames, in place.

    Args:
        model: A trace over samples.
        source: Its signal input, `[batch, samples]` or `[samples]`.
        hop: The samples of a frame; None: the input counts frames already, and nothing is done.

    Raises:
        UnsupportedError: A node reads samples before a front end, and not sample by sample.
    """
    if hop is None:
        return
    fold_constants(model)
    item = input_named(model, source)
    lead = len(shape_of(item)) - 1
    set_dims(item, (*shape_of(item), hop))
    _check_readers(model, source)
    del model.graph.value_info[:]
    set_nodes(model, [made for node in list(model.graph.node) for made in _written(model, node, lead, hop)])


def _check_readers(model: onnx.ModelProto, source: str) -> None:
    """Check that samples are read sample by sample, until a front end frames them."""
    graph, samples = Graph(model), {source}
    for node in [node for node in graph.nodes if node.op_type != "Constant"]:
        read = samples.intersection(node.input)
        if not read or is_marker(node, FRAMES) or _asks_for_streams(graph, node):
            continue
        constants = [graph.constant(name) for name in node.input if name and name not in read]
        plain = all(values is not None and values.size == 1 for values in constants)
        if not is_marker(node, EARLIER) and not (node.op_type in _PER_SAMPLE and plain):
            raise UnsupportedError(
                f"{label(node)}: it reads samples before they are frames, and not sample by sample; wanted a module of "
                "tidegate.frontend: Framing, Preemphasis or Spectrogram"
            )
        samples.update(node.output)


def _asks_for_streams(graph: Graph, node: onnx.NodeProto) -> bool:
    """Return whether a node asks for sizes of the samples, and only the number of streams is read."""
    readers = graph.consumers(node.output[0]) if node.op_type == "Shape" else []
    taken = [graph.constant(reader.input[1]) for reader in readers if reader.op_type == "Gather"]
    return bool(readers) and len(taken) == len(readers) and all(at is not None and not at.any() for at in taken)


def _written(model: onnx.ModelProto, node: onnx.NodeProto, lead: int, hop: int) -> Iterator[onnx.NodeProto]:
    """Yield what takes the place of a node; `lead` is the axis of frames."""
    given = attributes(node)
    if is_marker(node, FRAMES):
        yield from _framed(model, node, lead, hop, given["before"])
    elif is_marker(node, EARLIER):
        wide = helper.make_node(node.op_type, node.input, [f"{node.output[0]}/wide"], node.name)
        yield from _framed(model, wide, lead, hop, 1)
        yield _slice(model, wide.output[0], node.output[0], (0, hop, lead + 1))
    else:
        yield node


def _framed(model: onnx.ModelProto, node: onnx.NodeProto, time: int, hop: int, before: int) -> Iterator[onnx.NodeProto]:
    """Yield nodes that put the samples before each hop in front of it: those of the frames before, joined and cut."""
    (x,), (y,) = node.input, node.output
    frames = -(-max(before, 0) // hop)
    joined, parts = x, [f"{y}/{i}" for i in range(frames + 1)]
    if frames:
        pads = np.zeros((2, time + 2), np.int64)
        pads[0, time] = frames
        padded, joined = f"{y}/padded", f"{y}/joined"
        yield helper.make_node("Pad", [x, add_constant(model, f"{y}/pads", pads.ravel())], [padded], f"{node.name}.Pad")
        for i, part in enumerate(parts):
            yield _slice(model, padded, part, (i, i - frames or END, time))
        yield helper.make_node("Concat", parts, [joined], f"{node.name}.Concat", axis=time + 1)
    yield _slice(model, joined, y, (frames * hop - before, END, time + 1))


def _slice(model: onnx.ModelProto, x: str, y: str, bounds: tuple[int, int, int]) -> onnx.NodeProto:
    """Return a node that cuts one axis: start, end, axis."""
    named = zip(("start", "end", "axis"), bounds, strict=True)
    limits = [add_constant(model, f"{y}.{key}", np.array([value], np.int64)) for key, value in named]
    return helper.make_node("Slice", [x, *limits], [y], f"{y}/Slice")
