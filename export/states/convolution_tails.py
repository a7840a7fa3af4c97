"""Convolutions along time: a causal one keeps its last input frames as a state, any other looks ahead."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...runtime.contract import Ahead, State
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.axes import Dims, set_dims
from ..graph.editing import unused, value_names
from ..graph.names import module_path
from ..graph.recurrent_nodes import operand

END = 2**63 - 1  # as the bound of a Slice: up to the end
_TIME = 2  # axis of frames in the input of a Conv1d, [batch, channels, frames]


@dataclass(frozen=True)
class TimeConvolution:
    """A convolution along time that has an answer for each frame.

    Attributes:
        node: The node.
        signal: The name of its input, before any padding.
        answer: The name of its output, with one frame for each frame of the signal.
        channels: Channels of the signal.
        frames: Frames that one answer needs, minus one.
        ahead: How many of these frames come after the frame of the answer; 0: the convolution is causal.
    """

    node: onnx.NodeProto
    signal: str
    answer: str
    channels: int
    frames: int
    ahead: int = 0


def time_convolutions(model: onnx.ModelProto, dims: dict[str, Dims]) -> list[TimeConvolution]:
    """Return the convolutions along time that read more than one frame, in file order.

    Args:
        model: An ONNX model with one signal input.
        dims: The shapes of its values, as `axes.trace_dims` gives them.

    Raises:
        UnsupportedError: A convolution skips frames, spans time and another axis, or pads with other values than zeros.
    """
    graph = Graph(model)
    found = (_along_time(graph, dims, node) for node in graph.nodes if node.op_type == "Conv")
    return [convolution for convolution in found if convolution is not None]


def lift_tails(model: onnx.ModelProto, convolutions: Sequence[TimeConvolution], batch: int | str) -> tuple[State, ...]:
    """Replace the zeros before causal convolutions by states: the last input frames of the chunk before, in place.

    Each convolution gets `<module path>.tail_in` and `<module path>.tail_out`, float32 [batch, channels, frames]. A
    convolution that looks ahead pads both sides itself; a backend finds it by the contract (`ahead_of`).

    Returns:
        The states, in the order of the convolutions.

    Raises:
        UnsupportedError: The graph already has a value of that name.
    """
    taken: set[str] = set()
    for convolution in convolutions:
        if convolution.ahead:
            _pad_itself(model, convolution)
    causal = [convolution for convolution in convolutions if not convolution.ahead]
    return tuple(_lift_tail(model, convolution, taken, batch) for convolution in causal)


def ahead_of(convolutions: Sequence[TimeConvolution]) -> tuple[Ahead, ...]:
    """Return the contract's entries for the convolutions that look ahead."""
    return tuple(Ahead(convolution.node.name, convolution.ahead) for convolution in convolutions if convolution.ahead)


def _along_time(graph: Graph, dims: dict[str, Dims], node: onnx.NodeProto) -> TimeConvolution | None:
    signal, padded = _before_padding(graph, node)
    axes = dims.get(signal, ())[2:]
    if not any(_varies(size) for size in axes) or _is_pointwise(node, padded, axes):
        return None
    given, weights = attributes(node), graph.constant(node.input[1])
    if len(axes) != 1 or weights is None:
        raise UnsupportedError(
            f"{label(node)}: it spans time and another axis, or its weights vary; wanted a kernel of one frame, or "
            "nn.Conv1d along time with constant weights"
        )
    taps, dilation = weights.shape[-1], given.get("dilations", [1])[0]
    reach, stride = (taps - 1) * dilation, given.get("strides", [1])[0]
    answer = _after_cut(graph, node, dims, axes[0])
    if stride != 1 or padded is None or padded > reach or answer is None:
        seen = "no known" if padded is None else str(padded)
        raise UnsupportedError(
            f"{label(node)}: {taps} taps {dilation} apart, stride {stride}, {seen} frames of zeros before the signal, "
            f"and {'more or fewer answers than' if answer is None else 'an answer for each of the'} frames; wanted "
            f"stride 1, up to {reach} frames of zeros before and an answer for each frame: pad only on the left "
            f"(nn.ConstantPad1d(({reach}, 0), 0.0)), cut the last {reach} answers of padding={reach}, or look ahead by "
            "padding='same'"
        )
    channels = weights.shape[1] * given.get("group", 1)
    return TimeConvolution(node, signal, answer, channels, reach, reach - padded)


def _varies(size: int | str | None) -> bool:
    """Return whether a size depends on the sizes of the input."""
    return not isinstance(size, int)


def _is_pointwise(node: onnx.NodeProto, padded: int | None, axes: Dims) -> bool:
    """Return whether each answer of a convolution needs one frame only."""
    given, rank = attributes(node), len(axes)
    kernel = given.get("kernel_shape", [0] * rank)
    strides, pads = given.get("strides", [1] * rank), given.get("pads", [0] * 2 * rank)
    times = [i for i, size in enumerate(axes) if _varies(size)]
    alone = all(kernel[i] == strides[i] == 1 and pads[i] == pads[i + rank] == 0 for i in times)
    return alone and (rank > 1 or padded == 0)


def _before_padding(graph: Graph, node: onnx.NodeProto) -> tuple[str, int | None]:
    """Return the signal of a convolution and the number of zeros before it; None if the number is not known."""
    own = _own_padding(graph, node)
    pad = graph.producer(node.input[0])
    if pad is None or pad.op_type != "Pad":
        return node.input[0], own
    before = _zeros_before(graph, pad)
    return pad.input[0], None if own is None or before is None else own + before


def _own_padding(graph: Graph, node: onnx.NodeProto) -> int | None:
    """Return how many zeros a convolution itself puts before its frames; None if the number is not known."""
    given, weights = attributes(node), graph.constant(node.input[1])
    way = given.get("auto_pad", "NOTSET")
    if way in ("NOTSET", "VALID") or weights is None:
        return int(given.get("pads", [0])[0]) if way in ("NOTSET", "VALID") else None
    both = (weights.shape[-1] - 1) * given.get("dilations", [1])[0]  # for stride 1; other strides are refused
    return int(both // 2 if way == "SAME_UPPER" else both - both // 2)


def _zeros_before(graph: Graph, pad: onnx.NodeProto) -> int | None:
    """Return how many zeros a Pad puts before the frames of a convolution; None if it pads in any other way."""
    sizes, value = graph.constant(operand(pad, 1)), graph.constant(operand(pad, 2))
    silent = not operand(pad, 2) or (value is not None and not np.any(value))
    if sizes is None or not silent or operand(pad, 3) or attributes(pad).get("mode", "constant") != "constant":
        return None
    batch, channels, before, *_ = map(int, sizes)
    return before if batch == channels == 0 else None


def _after_cut(graph: Graph, node: onnx.NodeProto, dims: dict[str, Dims], time: int | str | None) -> str | None:
    """Return the value with one answer per frame: the node's output, or that of a Slice that cuts its end off."""
    answer = node.output[0]
    shape, readers = dims.get(answer, ()), graph.consumers(answer)
    wanted = (*shape[:_TIME], time)
    if shape == wanted:
        return answer
    shown = any(output.name == answer for output in graph.model.graph.output)
    if shown or [reader.op_type for reader in readers] != ["Slice"] or dims.get(readers[0].output[0]) != wanted:
        return None
    starts, steps = (graph.constant(operand(readers[0], position)) for position in (1, 4))
    return (
        None if starts is None or np.any(starts) or (steps is not None and np.any(steps != 1)) else readers[0].output[0]
    )


def _lift_tail(model: onnx.ModelProto, convolution: TimeConvolution, taken: set[str], batch: int | str) -> State:
    node = convolution.node
    name = unused(module_path(node) or "conv", taken)
    taken.add(name)
    source, target = f"{name}.tail_in", f"{name}.tail_out"
    for known in sorted({source, target} & value_names(model)):
        raise UnsupportedError(f"{label(node)}: the graph already has a value {known!r}; rename it")
    _carry(model, convolution, source, target)
    shape = (batch, convolution.channels, convolution.frames)
    for value, items in ((source, model.graph.input), (target, model.graph.output)):
        items.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, None))
        set_dims(items[-1], shape)
    return State(source, target, "tail", shape)


def _carry(model: onnx.ModelProto, convolution: TimeConvolution, source: str, target: str) -> None:
    """Put the tail before the frames, keep the last frames as the next tail, and drop the padding and its cut."""
    joined = f"{source}/Concat_output"
    bounds = {f"{target}.starts": -convolution.frames, f"{target}.ends": END, f"{target}.axes": _TIME}
    model.graph.initializer.extend(numpy_helper.from_array(np.array([v]), name) for name, v in bounds.items())
    join = helper.make_node("Concat", [source, convolution.signal], [joined], name=f"{source}/Concat", axis=_TIME)
    keep = helper.make_node("Slice", [joined, *bounds], [target], name=f"{target}/Slice")
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.name == convolution.node.name and node.output[0] == convolution.node.output[0]:
            nodes += [join, keep, _unpadded(node, joined, convolution.answer)]
        elif convolution.answer not in node.output:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _pad_itself(model: onnx.ModelProto, convolution: TimeConvolution) -> None:
    """Let a convolution pad both sides itself, and drop the nodes that padded for it."""
    node, ahead = convolution.node, convolution.ahead
    padded = _unpadded(node, convolution.signal, convolution.answer, [convolution.frames - ahead, ahead])
    kept = [n for n in model.graph.node if convolution.answer not in n.output or n.output[0] == node.output[0]]
    nodes = [padded if n.output[0] == node.output[0] else n for n in kept]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _unpadded(node: onnx.NodeProto, signal: str, answer: str, pads: Sequence[int] = (0, 0)) -> onnx.NodeProto:
    """Return a copy of a convolution that reads a signal and pads it by `pads` only."""
    made = onnx.NodeProto()
    made.CopyFrom(node)
    made.input[0], made.output[0] = signal, answer
    kept = [attribute for attribute in node.attribute if attribute.name not in ("pads", "auto_pad")]
    del made.attribute[:]
    made.attribute.extend([*kept, helper.make_attribute("pads", pads)])
    return made
