"""Convolutions along time: a causal one keeps its last input frames as a state, any other looks ahead.

A convolution may also span another axis inside a frame, before time or after it: `[batch, channels, time, bins]`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from ...runtime.contract import Ahead, State
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.axes import Dims
from ..graph.editing import copied, set_nodes, unused, value_names
from ..graph.names import module_path
from ..graph.recurrent_nodes import operand
from .tails import tail_nodes, tail_state, zeros_around

_FIRST = 2  # the first axis of a kernel in the input of a convolution, [batch, channels, ...]


@dataclass(frozen=True)
class TimeConvolution:
    """A convolution along time that has an answer for each frame.

    Attributes:
        node: The node.
        signal: The name of its input, before any padding.
        answer: The name of its output, with one frame for each frame of the signal.
        sizes: The sizes of the signal without its batch; at the time axis the frames that one answer needs, minus one.
        time: The axis of frames of the signal.
        pads: The zeros at the start and at the end of each axis inside a frame, in the order of ONNX; 0 for time.
        ahead: How many of these frames come after the frame of the answer; 0: the convolution is causal.
    """

    node: onnx.NodeProto
    signal: str
    answer: str
    sizes: tuple[int, ...]
    time: int
    pads: tuple[int, ...]
    ahead: int = 0

    @property
    def frames(self) -> int:
        """Frames that one answer needs, minus one."""
        return self.sizes[self.time - 1]


def time_convolutions(model: onnx.ModelProto, dims: dict[str, Dims]) -> list[TimeConvolution]:
    """Return the convolutions along time that read more than one frame, in file order.

    Args:
        model: An ONNX model with one signal input.
        dims: The shapes of its values, as `axes.trace_dims` gives them.

    Raises:
        UnsupportedError: A convolution skips frames, spans several free axes, or pads with other values than zeros.
    """
    graph = Graph(model)
    found = (_along_time(graph, dims, node) for node in graph.nodes if node.op_type == "Conv")
    return [convolution for convolution in found if convolution is not None]


def lift_tails(model: onnx.ModelProto, convolutions: Sequence[TimeConvolution], batch: int | str) -> tuple[State, ...]:
    """Replace the zeros before causal convolutions by states: the last input frames of the chunk before, in place.

    Each convolution gets `<module path>.tail_in` and `<module path>.tail_out`, float32, of the signal's shape with the
    frames of the tail. A convolution that looks ahead pads both sides itself; a backend finds it by the contract
    (`ahead_of`).

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
    signal, ends = _before_padding(graph, node)
    axes = dims.get(signal, ())[_FIRST:]
    if not any(_varies(size) for size in axes) or _is_pointwise(node, ends, axes):
        return None
    given, weights = attributes(node), graph.constant(node.input[1])
    times = [place for place, size in enumerate(axes) if _varies(size)]
    if len(times) != 1 or weights is None:
        raise UnsupportedError(
            f"{label(node)}: it spans several axes of free size, or its weights vary; wanted a kernel of one frame, or "
            "nn.Conv1d or nn.Conv2d along time with constant weights"
        )
    at = times[0]
    taps, dilation = weights.shape[_FIRST + at], given.get("dilations", [1] * len(axes))[at]
    reach, stride = (taps - 1) * dilation, given.get("strides", [1] * len(axes))[at]
    answer, padded = _after_cut(graph, node, dims, at, axes[at]), None if ends is None else ends[at]
    if stride != 1 or ends is None or padded is None or padded > reach or answer is None:
        seen = "no known" if padded is None else str(padded)
        raise UnsupportedError(
            f"{label(node)}: {taps} taps {dilation} apart, stride {stride}, {seen} frames of zeros before the signal, "
            f"and {'more or fewer answers than' if answer is None else 'an answer for each of the'} frames; wanted "
            f"stride 1, up to {reach} frames of zeros before and an answer for each frame: pad only on the left "
            f"(nn.ConstantPad1d(({reach}, 0), 0.0)), cut the last {reach} answers of padding={reach}, or look ahead by "
            "padding='same'; a stride over time comes before all recurrent layers"
        )
    sizes = [weights.shape[1] * given.get("group", 1), *(size if isinstance(size, int) else reach for size in axes)]
    pads = [0 if place % len(axes) == at else zeros for place, zeros in enumerate(ends)]
    return TimeConvolution(node, signal, answer, tuple(sizes), _FIRST + at, tuple(pads), reach - padded)


def _varies(size: int | str | None) -> bool:
    """Return whether a size depends on the sizes of the input."""
    return not isinstance(size, int)


def _is_pointwise(node: onnx.NodeProto, ends: list[int] | None, axes: Dims) -> bool:
    """Return whether each answer of a convolution needs one frame only."""
    given, rank = attributes(node), len(axes)
    kernel = given.get("kernel_shape", [0] * rank)
    strides, zeros = given.get("strides", [1] * rank), [1] * 2 * rank if ends is None else ends
    times = [i for i, size in enumerate(axes) if _varies(size)]
    return all(kernel[i] == strides[i] == 1 and zeros[i] == zeros[i + rank] == 0 for i in times)


def _before_padding(graph: Graph, node: onnx.NodeProto) -> tuple[str, list[int] | None]:
    """Return the signal of a convolution and the zeros at the ends of its axes; None if they are not known."""
    signal, ends = node.input[0], _own_padding(graph, node)
    while (pad := graph.producer(signal)) is not None and pad.op_type == "Pad":
        zeros = _zeros(graph, pad)
        ends = None if ends is None or zeros is None else [a + b for a, b in zip(ends, zeros, strict=True)]
        signal = pad.input[0]
    return signal, ends


def _own_padding(graph: Graph, node: onnx.NodeProto) -> list[int] | None:
    """Return the zeros that a convolution itself puts at the ends of its axes; None if they are not known."""
    given, weights = attributes(node), graph.constant(node.input[1])
    way = given.get("auto_pad", "NOTSET")
    rank = len(given.get("kernel_shape", ())) if weights is None else weights.ndim - _FIRST
    if way in ("NOTSET", "VALID"):
        return list(given.get("pads", [0] * 2 * rank)) or None
    if weights is None or any(stride != 1 for stride in given.get("strides", [])):
        return None
    both = [(k - 1) * d for k, d in zip(weights.shape[_FIRST:], given.get("dilations", [1] * rank), strict=True)]
    less, more = [n // 2 for n in both], [n - n // 2 for n in both]
    return [*less, *more] if way == "SAME_UPPER" else [*more, *less]


def _zeros(graph: Graph, pad: onnx.NodeProto) -> list[int] | None:
    """Return the zeros that a Pad puts at the ends of the axes of a kernel; None if it pads in any other way."""
    sizes = zeros_around(graph, pad)
    if sizes is None:
        return None
    before, after = np.split(sizes.astype(int), 2)
    outside = [*before[:_FIRST], *after[:_FIRST]]
    return None if any(outside) or min(sizes) < 0 else [*before[_FIRST:].tolist(), *after[_FIRST:].tolist()]


def _after_cut(
    graph: Graph, node: onnx.NodeProto, dims: dict[str, Dims], at: int, time: int | str | None
) -> str | None:
    """Return the value with one answer per frame: the node's output, or that of a Slice that cuts its end off."""
    answer = node.output[0]
    shape, cut = dims.get(answer, ()), graph.only_reader(answer)
    wanted = (*shape[: _FIRST + at], time, *shape[_FIRST + at + 1 :])
    if shape == wanted:
        return answer
    if cut is None or cut.op_type != "Slice" or dims.get(cut.output[0]) != wanted:
        return None
    starts, steps = (graph.constant(operand(cut, position)) for position in (1, 4))
    return None if starts is None or np.any(starts) or (steps is not None and np.any(steps != 1)) else cut.output[0]


def _lift_tail(model: onnx.ModelProto, convolution: TimeConvolution, taken: set[str], batch: int | str) -> State:
    node = convolution.node
    name = unused(module_path(node) or "conv", taken)
    taken.add(name)
    for known in sorted({f"{name}.tail_in", f"{name}.tail_out"} & value_names(model)):
        raise UnsupportedError(f"{label(node)}: the graph already has a value {known!r}; rename it")
    _carry(model, convolution, name)
    return tail_state(model, name, (batch, *convolution.sizes))


def _carry(model: onnx.ModelProto, convolution: TimeConvolution, name: str) -> None:
    """Put the tail before the frames, keep the last frames as the next tail, and drop the padding and its cut."""
    joined = f"{name}.tail_in/Concat_output"
    time, frames = convolution.time, convolution.frames
    carry = tail_nodes(model, name, convolution.signal, joined, time=time, frames=frames)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.name == convolution.node.name and node.output[0] == convolution.node.output[0]:
            nodes += [*carry, _unpadded(convolution, joined, convolution.pads)]
        elif convolution.answer not in node.output:
            nodes.append(node)
    set_nodes(model, nodes)


def _pad_itself(model: onnx.ModelProto, convolution: TimeConvolution) -> None:
    """Let a convolution pad both sides itself, and drop the nodes that padded for it."""
    node, ahead = convolution.node, convolution.ahead
    pads, rank = list(convolution.pads), len(convolution.pads) // 2
    pads[convolution.time - _FIRST], pads[convolution.time - _FIRST + rank] = convolution.frames - ahead, ahead
    padded = _unpadded(convolution, convolution.signal, pads)
    kept = [n for n in model.graph.node if convolution.answer not in n.output or n.output[0] == node.output[0]]
    nodes = [padded if n.output[0] == node.output[0] else n for n in kept]
    set_nodes(model, nodes)


def _unpadded(convolution: TimeConvolution, signal: str, pads: Sequence[int]) -> onnx.NodeProto:
    """Return a copy of a convolution's node that reads a signal and pads it by `pads` only."""
    node = convolution.node
    return copied(node, [signal, *node.input[1:]], [convolution.answer], ["auto_pad"], pads=pads)
