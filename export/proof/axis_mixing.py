"""Which axes each operator mixes: along such an axis, one entry of its output needs other entries of its input."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.axes import Dims
from ..graph.recurrent_nodes import operand

OUTSIDE = "leave it out, and do it to what the stream returns"


@dataclass(frozen=True)
class Mixing:
    """The axes of one input that an operator mixes.

    Attributes:
        axes: The axes, counted from 0.
        does: What the operator does along them, a verb in the third person.
        way_out: What to do instead.
        operand: The position of the input.
    """

    axes: tuple[int, ...]
    does: str
    way_out: str
    operand: int = 0


@dataclass(frozen=True)
class _Node:
    """A node and its shapes.

    Attributes:
        graph: The graph of the node.
        node: The node itself.
        shapes: The shapes of its inputs; None if the rank is not known.
        answer: The shape of its first output; None if the rank is not known.
    """

    graph: Graph
    node: onnx.NodeProto
    shapes: Sequence[Dims | None]
    answer: Dims | None

    @property
    def rank(self) -> int:
        """The number of axes of its first input."""
        return len(self.shapes[0] or ())

    @property
    def given(self) -> dict[str, object]:
        """Its attributes."""
        return attributes(self.node)

    def numbers(self, name: str, position: int) -> list[int] | None:
        """Return integers that are an attribute in older operator sets and an input in newer ones; None if unknown."""
        own = self.given.get(name)
        constant = self.graph.constant(operand(self.node, position)) if own is None else None
        known = own if own is not None else constant
        return None if known is None else [int(value) for value in np.ravel(np.asarray(known))]


Axes = Callable[[_Node], Iterable[int]]


def _reduced(node: _Node) -> Iterable[int]:
    axes = node.numbers("axes", 1)
    if axes is None and not operand(node.node, 1) and not node.given.get("noop_with_empty_axes"):
        return range(node.rank)
    return axes or ()


def _one(name: str, default: int) -> Axes:
    return lambda node: [int(node.given.get(name, default))]  # type: ignore[call-overload] # an integer by the standard


def _given_axis(position: int) -> Axes:
    return lambda node: node.numbers("axis", position) or ()


def _from(start: int) -> Axes:
    return lambda node: range(start, node.rank)


def _normalized(node: _Node) -> Iterable[int]:
    return range(int(node.given.get("axis", -1)) % max(node.rank, 1), node.rank)  # type: ignore[call-overload]


def _windows(node: _Node) -> Iterable[int]:
    """Return the axes along which a pooling or transposed convolution has a kernel or a stride above 1."""
    weights = node.shapes[1] if len(node.shapes) > 1 else None
    kernel = node.given.get("kernel_shape") or (weights or ())[2:]
    strides = node.given.get("strides") or [1] * (node.rank - 2)
    return [2 + i for i, sizes in enumerate(zip(kernel, strides, strict=False)) if sizes != (1, 1)]  # type: ignore[call-overload]


def _resized(node: _Node) -> Iterable[int]:
    pairs = zip(node.shapes[0] or (), node.answer or (), strict=False)
    return [axis for axis, (before, after) in enumerate(pairs) if before != after]


def _batch_statistics(node: _Node) -> Iterable[int]:
    return [axis for axis in range(node.rank) if axis != 1] if node.given.get("training_mode") else ()


def _steps(node: _Node, wanted: Callable[[int], bool]) -> Iterable[int]:
    steps, axes = node.graph.constant(operand(node.node, 4)), node.graph.constant(operand(node.node, 3))
    if steps is None:
        return ()
    along = range(len(steps)) if axes is None else np.ravel(axes)
    return [int(axis) for axis, step in zip(along, np.ravel(steps), strict=False) if wanted(int(step))]


def _picked(node: _Node) -> Iterable[int]:
    """Return the axis of a Gather, if it takes any place but the last."""
    places = node.graph.constant(operand(node.node, 1))
    return [int(node.given.get("axis", 0))] if places is not None and np.any(places != -1) else ()  # type: ignore[call-overload]


def _contracted(position: int) -> Axes:
    """Return a function that gives the axis over which a MatMul sums in one of its operands."""

    def axes(node: _Node) -> Iterable[int]:
        rank = len((node.shapes[position] if len(node.shapes) > position else None) or ())
        return [rank - 1 if position == 0 or rank < 2 else rank - 2] if rank else ()

    return axes


def _summed(position: int) -> Axes:
    """Return a function that gives the axes over which an Einsum sums in one of its operands."""

    def axes(node: _Node) -> Iterable[int]:
        equation = str(node.given.get("equation", "")).replace(" ", "")
        terms, _, result = equation.partition("->")
        letters = [*terms.split(","), "", ""][position]
        return [i for i, letter in enumerate(letters) if letter not in result] if "." not in equation else ()

    return axes


_POOL = "pools over", f"answer by the last frame (y[:, -1]) or the final h, or {OUTSIDE}"
_WINDOW = (
    "pools over",
    f"pool within a frame, let a causal nn.Conv1d do it, or {OUTSIDE}",
)
_NORM = (
    "normalizes over",
    "normalize within a frame (nn.LayerNorm over its features), or by nn.BatchNorm1d's running statistics",
)
_WEIGH = "takes a softmax over", f"let a recurrent layer weigh the frames, or {OUTSIDE}"
ATTEND = "attends over", f"let a recurrent layer do it, or {OUTSIDE}"
_SUM = "adds up over", f"let a recurrent layer carry the sum, or {OUTSIDE}"
_SORT = "sorts along", f"answer by the last frame (y[:, -1]) or the final h, or {OUTSIDE}"
_TURN = "turns around", "use bidirectional=True for the other direction: it is streamed in blocks"
_TRANSFORM = "transforms along", "make frames of windows before the model, and transform within a frame"
_SKIP = "changes the number of places along", f"give an answer for each frame of the input, or {OUTSIDE}"
_PICK = "takes a frame counted from the ends of a chunk, along", f"take the last frame (y[:, -1]), or {OUTSIDE}"

_REDUCING = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
_KINDS: tuple[tuple[Iterable[str], Axes, tuple[str, str]], ...] = (
    ([f"Reduce{what}" for what in _REDUCING], _reduced, _POOL),
    (("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _from(2), _POOL),
    (("AveragePool", "MaxPool", "LpPool"), _windows, _WINDOW),
    (("InstanceNormalization",), _from(2), _NORM),
    (("GroupNormalization",), _from(1), _NORM),
    (("LayerNormalization", "RMSNormalization"), _normalized, _NORM),
    (("BatchNormalization",), _batch_statistics, _NORM),
    (("MeanVarianceNormalization",), lambda node: node.numbers("axes", 1) or (0, 2, 3), _NORM),
    (("LpNormalization",), _one("axis", -1), _NORM),
    (("Softmax", "LogSoftmax", "Hardmax"), _one("axis", -1), _WEIGH),
    (("ArgMax", "ArgMin"), _one("axis", 0), _POOL),
    (("TopK",), _one("axis", -1), _SORT),
    (("CumSum",), _given_axis(1), _SUM),
    (("DFT",), lambda node: node.numbers("axis", 2) or (), _TRANSFORM),
    (("STFT",), lambda _: (1,), _TRANSFORM),
    (("Resize", "Upsample"), _resized, _SKIP),
    (("ConvTranspose",), _windows, ("adds up several frames per answer, along", _SKIP[1])),
    (("Slice",), lambda node: _steps(node, lambda step: step < 0), _TURN),
    (("Slice",), lambda node: _steps(node, lambda step: step > 1), _SKIP),
    (("ReverseSequence",), _one("time_axis", 0), _TURN),
    (("Gather",), _picked, _PICK),
)
_OF_TWO: Mapping[str, Callable[[int], Axes]] = {"MatMul": _contracted, "Gemm": _contracted, "Einsum": _summed}


def mixings(graph: Graph, node: onnx.NodeProto, dims: Mapping[str, Dims]) -> list[Mixing]:
    """Return the axes of its inputs that a node mixes; an unknown operator mixes none."""
    shapes = [dims.get(name) for name in node.input]
    known = _Node(graph, node, shapes, dims.get(node.output[0]))
    found = []
    if shapes and shapes[0] is not None:
        for operators, axes, (does, way_out) in _KINDS:
            if node.op_type in operators:
                found.append(Mixing(_counted(axes(known), known.rank), does, way_out))
    for position in range(2) if node.op_type in _OF_TWO else ():
        rank = len((shapes[position] if len(shapes) > position else None) or ())
        if graph.constant(operand(node, 1 - position)) is None:  # with a constant operand it is a linear layer
            found.append(Mixing(_counted(_OF_TWO[node.op_type](position)(known), rank), *ATTEND, position))
    return [mixing for mixing in found if mixing.axes] or _crossed(shapes, known.answer)


def _crossed(shapes: Sequence[Dims | None], answer: Dims | None) -> list[Mixing]:
    """Return the axis of the signal that occurs more often in the output than in an input: the scores of attention."""
    for position, shape in enumerate(shapes):
        for axis, size in enumerate(shape or ()):
            if isinstance(size, str) and (answer or ()).count(size) > (shape or ()).count(size):
                return [Mixing((axis,), *ATTEND, position)]
    return []


def _counted(axes: Iterable[int], rank: int) -> tuple[int, ...]:
    """Return the valid axes, counted from 0, sorted."""
    return tuple(sorted({axis % rank for axis in axes if -rank <= axis < rank}))
