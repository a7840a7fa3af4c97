"""Framing of samples: from markers in the trace to standard operators over frames of one hop.

The graph was traced over samples, `[batch, samples]`. A frame of the file is the samples of one hop, so the input
becomes `[batch, frames, hop]`, and so does each value that is still samples. Only functions sample by sample may read
these.
Frames that overlap are hops of earlier frames, put before the new one.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from onnx import helper

from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.axes import set_dims, shape_of, sized_model
from ..graph.constants import fold_constants
from ..graph.editing import END, add_constant, drop_identities, input_named, remove_dead, set_nodes
from ..graph.markers import EARLIER, FRAMES, STFT, is_marker
from ..states.tails import zeros_around

_PER_SAMPLE = frozenset(
    ("Abs", "Add", "Cast", "Clip", "Div", "Identity", "Max", "Min", "Mul", "Neg", "Sign", "Sqrt", "Sub", "Tanh")
)
_SIZES = ((1009, 1021), (1013, 1031))  # of streams and samples: a shape is the same if it is so for both


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
    _drop_same_shapes(model, source)
    item = input_named(model, source)
    lead = len(shape_of(item)) - 1
    set_dims(item, (*shape_of(item), hop))
    padded = _check_readers(model, source)
    del model.graph.value_info[:]
    set_nodes(model, [made for node in list(model.graph.node) for made in _written(model, node, lead, hop, padded)])
    remove_dead(model)


def _drop_same_shapes(model: onnx.ModelProto, source: str) -> None:
    """Drop each Reshape that gives a value its own shape, as torchaudio's do around torch.stft, in place."""
    rank = len(shape_of(input_named(model, source)))
    shapes = [sized_model(model, source, dict(enumerate(sizes[:rank])))[1] for sizes in _SIZES]
    for node in [node for node in model.graph.node if node.op_type == "Reshape"]:
        if all(node.input[0] in dims and dims[node.input[0]] == dims.get(node.output[0]) for dims in shapes):
            node.CopyFrom(helper.make_node("Identity", node.input[:1], list(node.output), node.name))
    drop_identities(model)
    remove_dead(model)


def _check_readers(model: onnx.ModelProto, source: str) -> dict[str, tuple[str, int]]:
    """Check that samples are read sample by sample, until a front end frames them.

    Returns:
        For each value with zeros put in front: the value without, and the number of zeros.
    """
    graph, samples, padded = Graph(model), {source}, dict[str, tuple[str, int]]()
    for node in [node for node in graph.nodes if node.op_type != "Constant"]:
        read = samples.intersection(node.input)
        if not read or is_marker(node, FRAMES) or _asks_for_streams(graph, node):
            continue
        if zeros := _zeros_in_front(graph, node):
            padded[node.output[0]] = node.input[0], zeros
            continue
        constants = [graph.constant(name) for name in node.input if name and name not in read]
        plain = all(values is not None and values.size == 1 for values in constants)
        if not is_marker(node, EARLIER) and not (node.op_type in _PER_SAMPLE and plain):
            raise UnsupportedError(
                f"{label(node)}: it reads samples before they are frames, and not sample by sample; wanted zeros in "
                "front of torch.stft (torch.nn.functional.pad), or a module of tidegate.frontend: Framing, "
                "Preemphasis or Spectrogram"
            )
        samples.update(node.output)
    return padded


def _zeros_in_front(graph: Graph, node: onnx.NodeProto) -> int:
    """Return how many zeros a Pad puts in front of samples that are then framed; 0 if it does anything else."""
    zeros = zeros_around(graph, node) if node.op_type == "Pad" else None
    readers = graph.consumers(node.output[0])
    if zeros is None or not all(is_marker(each, FRAMES) or _asks_for_streams(graph, each) for each in readers):
        return 0
    before, others = int(zeros[zeros.size // 2 - 1]), np.count_nonzero(zeros)
    return before if before > 0 and others == 1 else 0


def _asks_for_streams(graph: Graph, node: onnx.NodeProto) -> bool:
    """Return whether a node asks for sizes of the samples, and only the number of streams is read."""
    readers = graph.consumers(node.output[0]) if node.op_type == "Shape" else []
    taken = [graph.constant(reader.input[1]) for reader in readers if reader.op_type == "Gather"]
    return bool(readers) and len(taken) == len(readers) and all(at is not None and not at.any() for at in taken)


def _written(
    model: onnx.ModelProto, node: onnx.NodeProto, lead: int, hop: int, padded: Mapping[str, tuple[str, int]]
) -> Iterator[onnx.NodeProto]:
    """Yield what takes the place of a node; `lead` is the axis of frames."""
    given = attributes(node)
    if is_marker(node, FRAMES):
        samples, zeros = padded.get(node.input[0], (node.input[0], 0))
        plain = helper.make_node(node.op_type, [samples], list(node.output), node.name)
        yield from framed(model, plain, lead, hop, (given["before"] + zeros, given["length"]))
    elif is_marker(node, EARLIER):
        wide = helper.make_node(node.op_type, node.input, [f"{node.output[0]}/wide"], node.name)
        yield from framed(model, wide, lead, hop, (1, hop + 1))
        yield _slice(model, wide.output[0], node.output[0], (0, hop, lead + 1))
    elif node.output[0] not in padded:
        names = [padded.get(name, (name,))[0] for name in node.input]
        del node.input[:]
        node.input.extend(names)
        yield node


def framed(
    model: onnx.ModelProto, node: onnx.NodeProto, time: int, hop: int, span: tuple[int, int]
) -> Iterator[onnx.NodeProto]:
    """Yield nodes that join hops and cut frames.

    Args:
        model: The model, which gets constants.
        node: What they replace: its first input is `[..., frames, hop]`, its first output `[..., frames, length]`.
        time: The axis of frames.
        hop: The values of a hop.
        span: The values before each hop, and those of a frame.
    """
    (x,), (y,), (before, length) = node.input, node.output, span
    earlier, later = -(-max(before, 0) // hop), -(-max(length - before - hop, 0) // hop)
    joined = x
    if later:
        joined = f"{y}/joined"
        yield from _neighbours(model, node, time, hop, (earlier, later))
    elif earlier:
        joined, padded, parts = f"{y}/joined", f"{y}/padded", [f"{y}/{i}" for i in range(earlier + 1)]
        pads = np.zeros((2, time + 2), np.int64)
        pads[0, time] = earlier
        yield helper.make_node("Pad", [x, add_constant(model, f"{y}/pads", pads.ravel())], [padded], f"{node.name}.Pad")
        for i, part in enumerate(parts):
            yield _slice(model, padded, part, (i, i - earlier or END, time))
        yield helper.make_node("Concat", parts, [joined], f"{node.name}.Concat", axis=time + 1)
    start = earlier * hop - before
    yield _slice(model, joined, y, (start, start + length, time + 1))


def _neighbours(
    model: onnx.ModelProto, node: onnx.NodeProto, time: int, hop: int, reach: tuple[int, int]
) -> Iterator[onnx.NodeProto]:
    """Yield nodes that join each hop with the hops around it, by a convolution of ones: these may look ahead."""
    (x,), (y,), taps = node.input, node.output, sum(reach) + 1
    kernel = add_constant(model, f"{y}/hops", np.eye(taps, dtype=np.float32).reshape(taps, 1, taps, 1))
    one = add_constant(model, f"{y}/channel", np.array([1] if time else [0, 1], np.int64))
    flat = add_constant(model, f"{y}/flat", np.array([*[0] * time, -1, taps * hop], np.int64))
    path, _, leaf = node.name.rpartition("/")
    scope = f"{path}/{STFT}/{leaf}"
    single, apart, turned = f"{y}/single", f"{y}/apart", f"{y}/turned"
    yield helper.make_node("Unsqueeze", [x, one], [single], f"{scope}.Unsqueeze")
    yield helper.make_node(
        "Conv", [single, kernel], [apart], f"{scope}.Conv", pads=[reach[0], 0, reach[1], 0], kernel_shape=[taps, 1]
    )
    yield helper.make_node("Transpose", [apart], [turned], f"{scope}.Transpose", perm=[0, 2, 1, 3])
    yield helper.make_node("Reshape", [turned, flat], [f"{y}/joined"], f"{scope}.Reshape")


def _slice(model: onnx.ModelProto, x: str, y: str, bounds: tuple[int, int, int]) -> onnx.NodeProto:
    """Return a node that cuts one axis: start, end, axis."""
    named = zip(("start", "end", "axis"), bounds, strict=True)
    limits = [add_constant(model, f"{y}.{key}", np.array([value], np.int64)) for key, value in named]
    return helper.make_node("Slice", [x, *limits], [y], f"{y}/Slice")
