"""Random graphs inside frames of several axes, for property tests of lowering."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tools.drafts import FEATURES, Draft

Shape = tuple[int, ...]  # of a frame: channels, then one or two axes
OF_ANY = ("Relu", "Tanh", "Sigmoid", "Abs", "Neg", "Softplus", "Erf", "Elu", "Celu", "Selu", "LeakyRelu", "HardSigmoid",
          "HardSwish", "Mish", "Identity")  # fmt: skip
OF_POSITIVE = ("Sqrt", "Log", "Reciprocal", "Exp")  # of values from 0.5 to 1.5


class FrameGraph:
    """A graph under construction: x `[time, features]` becomes a frame, operators follow, and it becomes flat again.

    Attributes:
        value: The newest value, `[time, *shape]`.
        shape: The shape of its frame.
    """

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw, self.draft = draw, Draft("tf", int8=draw(st.booleans()))
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        width = draw(st.sampled_from([12, 24]))
        wide = self.draft.add("Tanh", self.draft.add("MatMul", "x", self.draft.weights(FEATURES, width, axis=1)))
        self.value, self.shape = "", draw(st.sampled_from([(1, width), (2, width // 2), (3, 2, width // 6)]))
        self.reshape(wide, self.shape)

    def reshape(self, value: str, shape: Shape) -> None:
        """Give a value the shape of a frame."""
        self.value, self.shape = self.draft.add("Reshape", value, self.ints(-1, *shape)), shape

    def ints(self, *values: int) -> str:
        """Add a constant of integers."""
        return self.draft.tensor(values, np.int64)

    def floats(self, *shape: int) -> str:
        """Add a constant of floats of either sign, away from zero."""
        return self.draft.tensor(self.rng.choice([-1, 1], shape) * self.rng.uniform(0.2, 1.5, shape))

    def integer(self, least: int, most: int) -> int:
        """Draw an integer."""
        return self.draw(st.integers(least, most))

    def axis(self) -> int:
        """Draw an axis of the tensor that is not time."""
        return self.integer(1, len(self.shape))


def _answers(size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int]) -> int:
    return (size + sum(pads) - (kernel - 1) * dilation - 1) // stride + 1


def _kernels(graph: FrameGraph, most_pad: int) -> tuple[dict[str, Any], Shape] | None:
    """Draw the options of a kernel; None if it has no answer."""
    sizes = graph.shape[1:]
    kernel, strides, dilations = ([graph.integer(1, most) for _ in sizes] for most in (3, 2, 2))
    pads = [[graph.integer(0, min(most_pad, k - 1)) for k in kernel] for _ in range(2)]
    parts = zip(sizes, kernel, strides, dilations, zip(*pads, strict=True), strict=True)
    answers = tuple(_answers(*part) for part in parts)
    given = {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "pads": [*pads[0], *pads[1]]}
    return (given, answers) if min(answers) > 0 else None


def _meets(sizes: Shape, given: dict[str, Any], answers: Shape) -> bool:
    """Return whether each window of a kernel has a place of the frame, and not zeros alone."""
    parts = zip(sizes, answers, *(given[key] for key in ("kernel_shape", "strides", "dilations", "pads")), strict=False)
    return all(
        any(0 <= answer * stride - pad + tap * dilation < size for tap in range(kernel))
        for size, count, kernel, stride, dilation, pad in parts
        for answer in range(count)
    )


def conv(graph: FrameGraph) -> None:
    """Add a convolution: dense, in groups, or of each channel by itself."""
    drawn = _kernels(graph, 2)
    if drawn is None:
        return
    given, answers = drawn
    channels = graph.shape[0]
    groups = graph.draw(st.sampled_from([g for g in (1, 2, channels) if channels % g == 0]))
    outputs = groups * graph.integer(1, 3)
    weights = graph.draft.weights(outputs, channels // groups, *given["kernel_shape"], axis=0)
    bias = [graph.floats(outputs)] if graph.draw(st.booleans()) else []
    graph.value = graph.draft.add("Conv", graph.value, weights, *bias, group=groups, **given)
    graph.shape = (outputs, *answers)


def pool(graph: FrameGraph) -> None:
    """Add a pool of windows, or of all places."""
    op = graph.draw(st.sampled_from(["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"]))
    drawn = _kernels(graph, 1)
    if drawn is not None and not _meets(graph.shape[1:], drawn[0], drawn[1]):
        return
    if op.startswith("Global"):
        graph.value, graph.shape = graph.draft.add(op, graph.value), (graph.shape[0], *[1] * (len(graph.shape) - 1))
    elif drawn is not None:
        given, answers = drawn
        if op == "AveragePool":
            given.pop("dilations")
            sizes = zip(graph.shape[1:], given["kernel_shape"], given["strides"], strict=True)
            rank = len(answers)
            answers = tuple(
                _answers(size, k, stride, 1, (given["pads"][i], given["pads"][i + rank]))
                for i, (size, k, stride) in enumerate(sizes)
            )
            if min(answers) < 1:
                return
            given["count_include_pad"] = graph.integer(0, 1)
        graph.value, graph.shape = graph.draft.add(op, graph.value, **given), (graph.shape[0], *answers)


def reduce(graph: FrameGraph) -> None:
    """Add the difference to a reduction over some axes, which is broadcast; or the reduction itself."""
    axes = graph.draw(st.lists(st.integers(1, len(graph.shape)), min_size=1, max_size=2, unique=True))
    op = graph.draw(
        st.sampled_from(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare"])
    )
    made = graph.draft.add(op, graph.value, graph.ints(*axes), keepdims=1)
    if graph.draw(st.booleans()):
        graph.value = graph.draft.add("Sub", graph.value, made)
    else:
        graph.value = made
        graph.shape = tuple(1 if i in axes else size for i, size in enumerate(graph.shape, 1))


def norm(graph: FrameGraph) -> None:
    """Add a normalization."""
    kinds = ["LayerNormalization", "InstanceNormalization", "BatchNormalization", "Softmax", "LogSoftmax"]
    op, channels = graph.draw(st.sampled_from(kinds)), graph.shape[0]
    if op.endswith("Softmax"):
        graph.value = graph.draft.add(op, graph.value, axis=graph.axis())
    elif op == "LayerNormalization":
        first = graph.integer(2, len(graph.shape))
        parts = [graph.floats(*graph.shape[first - 1 :]) for _ in range(2)]
        graph.value = graph.draft.add(op, graph.value, *parts, axis=first, epsilon=0.1)
    elif op == "InstanceNormalization":
        graph.value = graph.draft.add(op, graph.value, graph.floats(channels), graph.floats(channels), epsilon=0.1)
    else:
        variance = graph.draft.tensor(graph.rng.uniform(0.5, 2, channels))
        parts = [*(graph.floats(channels) for _ in range(3)), variance]
        graph.value = graph.draft.add(op, graph.value, *parts)


def move(graph: FrameGraph) -> None:
    """Add an operator that only moves values."""
    graph.draw(st.sampled_from([_transpose, _slice, _pad, _split, _gather, _tile, _fold]))(graph)


def _transpose(graph: FrameGraph) -> None:
    order = graph.draw(st.permutations(range(len(graph.shape))))
    graph.value = graph.draft.add("Transpose", graph.value, perm=[0, *(i + 1 for i in order)])
    graph.shape = tuple(graph.shape[i] for i in order)


def _sized(graph: FrameGraph, axis: int, size: int) -> None:
    graph.shape = (*graph.shape[: axis - 1], size, *graph.shape[axis:])


def _slice(graph: FrameGraph) -> None:
    axis = graph.axis()
    size, step = graph.shape[axis - 1], graph.draw(st.sampled_from([1, 2, -1]))
    start = graph.integer(0, size - 1)
    bounds = (start, 2**31 - 1) if step > 0 else (start, -(2**31))
    graph.value = graph.draft.add("Slice", graph.value, *(graph.ints(n) for n in (*bounds, axis, step)))
    _sized(graph, axis, len(range(size)[slice(*bounds, step)]))


def _pad(graph: FrameGraph) -> None:
    axis, mode = graph.axis(), graph.draw(st.sampled_from(["constant", "edge", "reflect"]))
    most = min(2, graph.shape[axis - 1] - 1)
    ends = [graph.integer(0, most) for _ in range(2)]
    pads = [0] * 2 * (len(graph.shape) + 1)
    pads[axis], pads[axis + len(graph.shape) + 1] = ends
    graph.value = graph.draft.add("Pad", graph.value, graph.ints(*pads), mode=mode)
    _sized(graph, axis, graph.shape[axis - 1] + sum(ends))


def _split(graph: FrameGraph) -> None:
    axis = graph.axis()
    size = graph.shape[axis - 1]
    if size < 2:
        return
    first = graph.integer(1, size - 1)
    names = [graph.draft.name(), graph.draft.name()]
    parts = graph.draft.many("Split", [graph.value, graph.ints(first, size - first)], names, axis=axis)
    graph.value = graph.draft.add("Concat", *parts[::-1], graph.value, axis=axis)
    _sized(graph, axis, 2 * size)


def _gather(graph: FrameGraph) -> None:
    axis = graph.axis()
    index = graph.draw(st.lists(st.integers(0, graph.shape[axis - 1] - 1), min_size=1, max_size=4))
    graph.value = graph.draft.gather(graph.value, index, axis)
    _sized(graph, axis, len(index))


def _tile(graph: FrameGraph) -> None:
    axis = graph.axis()
    graph.value = graph.draft.add(
        "Tile", graph.value, graph.ints(*(1 + (i == axis) for i in range(len(graph.shape) + 1)))
    )
    _sized(graph, axis, 2 * graph.shape[axis - 1])


def _fold(graph: FrameGraph) -> None:
    """Fold two axes into one and split off one of two, if there is one."""
    total = int(np.prod(graph.shape))
    even = [n for n in (1, 2, 3) if total % n == 0]
    first = graph.draw(st.sampled_from(even))
    graph.reshape(graph.value, (first, total // first))


def _function_of_one(graph: FrameGraph) -> None:
    op = graph.draw(st.sampled_from([*OF_ANY, *OF_POSITIVE, "Clip"]))
    given = [graph.value]
    if op in OF_POSITIVE:
        given = [graph.draft.add("Add", graph.draft.add("Sigmoid", graph.value), graph.draft.tensor(0.5))]
    elif op == "Clip":
        given += [graph.draft.tensor(-0.5), graph.draft.tensor(0.75)]
    graph.value = graph.draft.add(op, *given)


def function(graph: FrameGraph) -> None:
    """Add a function of each feature, with a constant that is broadcast, or of two values."""
    kind = graph.draw(st.sampled_from(["one", "constant", "first", "two"]))
    shape = [size if graph.draw(st.booleans()) else 1 for size in graph.shape]
    constant = graph.floats(*shape)
    if kind == "one":
        _function_of_one(graph)
    elif kind == "two":
        other = graph.draft.add("Sigmoid", graph.value)
        graph.value = graph.draft.add(graph.draw(st.sampled_from(["Add", "Mul", "Max", "Min"])), graph.value, other)
    else:
        operands = [graph.value, constant]
        op = graph.draw(st.sampled_from(["Add", "Mul", "Sub", *(["Div", "PRelu"] if kind == "constant" else [])]))
        graph.value = graph.draft.add(op, *(operands if kind == "constant" else operands[::-1]))


def linear(graph: FrameGraph) -> None:
    """Add a linear layer at several places."""
    outputs = graph.integer(1, 4)
    graph.value = graph.draft.add("MatMul", graph.value, graph.draft.weights(graph.shape[-1], outputs, axis=1))
    graph.shape = (*graph.shape[:-1], outputs)


STEPS: list[Callable[[FrameGraph], None]] = [conv, pool, reduce, norm, move, function, linear]


@st.composite
def frame_graphs(draw: st.DrawFn) -> Draft:
    """Draw a graph of up to six operators inside frames; its answer is `[time, features]`."""
    graph = FrameGraph(draw)
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=6)):
        if int(np.prod(graph.shape)) < 400:
            step(graph)
    graph.reshape(graph.value, (int(np.prod(graph.shape)),))
    graph.draft.answer(graph.value, batch=None)
    return graph.draft
