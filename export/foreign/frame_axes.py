"""The axis of frames in single nodes: where it is afterwards, and whether a node turns it around or takes its end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from ...runtime.arrays import Array
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.axes import Dims, shape_of, sized_model
from ..graph.editing import input_named
from ..graph.recurrent_nodes import operand

UNARY = frozenset(("Abs", "Cast", "Elu", "Exp", "Identity", "LeakyRelu", "Neg", "Relu", "Sigmoid", "Softplus", "Tanh"))
MOVES = frozenset(("Squeeze", "Transpose", "Unsqueeze"))
_BINARY = frozenset(("Add", "Div", "Mul", "Sub"))
_SIZES = (1009, 1021, 1033, 1049)  # of free axes, one for each
_FAR = 2**30  # a bound of a Slice beyond it means the end


@dataclass(frozen=True)
class FrameAxes:
    """What the nodes of a graph do along an axis of frames.

    Attributes:
        graph: The graph at one size of the signal.
        shapes: The shapes of its values.
    """

    graph: Graph
    shapes: Mapping[str, Dims]

    @classmethod
    def of(cls, model: onnx.ModelProto, source: str) -> "FrameAxes":
        """Trace the shapes of a model from its signal input."""
        item = input_named(model, source)
        free = [axis for axis, size in enumerate(shape_of(item)) if not isinstance(size, int)]
        sized, shapes = sized_model(model, source, dict(zip(free, _SIZES, strict=False)))
        return cls(Graph(sized), shapes)

    def _rank(self, name: str) -> int | None:
        return len(self.shapes[name]) if name in self.shapes else None

    def after(self, node: onnx.NodeProto, found: Sequence[bool], axis: int) -> int | None:
        """Return the axis of frames in a node's answer; None if the node does not act on each frame by itself.

        Args:
            node: The node.
            found: Whether each of its inputs has frames.
            axis: Their axis.
        """
        rank = self._rank(node.input[0])
        if rank is None:
            return None
        if node.op_type in MOVES:
            return self._moved(node, rank, axis)
        return axis if self._keeps(node, found, rank, axis) else None

    def _moved(self, node: onnx.NodeProto, rank: int, axis: int) -> int | None:
        if node.op_type == "Transpose":
            return list(attributes(node).get("perm", range(rank)[::-1])).index(axis)
        numbers = self.graph.constant(operand(node, 1))
        if numbers is None:
            return None
        if node.op_type == "Squeeze":
            dropped = {int(number) % rank for number in numbers.ravel()}
            return None if axis in dropped else axis - sum(place < axis for place in dropped)
        added = {int(number) % (rank + numbers.size) for number in numbers.ravel()}
        return [place for place in range(rank + numbers.size) if place not in added][axis]

    def _keeps(self, node: onnx.NodeProto, found: Sequence[bool], rank: int, axis: int) -> bool:
        if node.op_type == "MatMul":
            weights = self.graph.constant(node.input[1])
            return found[0] and weights is not None and weights.ndim == 2 and axis < rank - 1
        if node.op_type in _BINARY:
            return all(one or self._is_same(read, rank, axis) for read, one in zip(node.input, found, strict=True))
        if node.op_type == "Concat":
            return all(found) and int(attributes(node)["axis"]) % rank != axis
        return node.op_type in UNARY

    def _is_same(self, name: str, rank: int, axis: int) -> bool:
        """Return whether a constant is the same for each frame of a value of some rank."""
        value = self.graph.constant(name)
        return value is not None and (axis < rank - value.ndim or value.shape[axis - rank] == 1)

    def turned(self, node: onnx.NodeProto) -> int | None:
        """Return the axis along which a node turns a value around; None if it does not."""
        shape = self.shapes.get(node.input[0], ())
        if node.op_type == "ReverseSequence" and shape:
            axis = int(attributes(node).get("time_axis", 0))
            return axis if self._single(node.input[1]) == shape[axis] else None
        if node.op_type == "Gather" and shape:
            axis, places = self._gathered(node, len(shape))
            count = shape[axis]
            back = list(range(count))[::-1] if isinstance(count, int) and count < _FAR else []
            return axis if places is not None and len(back) > 1 and places.tolist() == back else None
        return self._sliced(node, len(shape), lambda end, step: step == -1 and end < -_FAR)

    def _single(self, name: str) -> int | None:
        """Return the number that a value holds in all its places, such as the lengths of all streams."""
        value, node = self.graph.constant(name), self.graph.producer(name)
        if value is not None:
            return int(value.flat[0]) if value.size and np.all(value == value.flat[0]) else None
        spread = node is not None and node.op_type in ("Cast", "Expand", "Identity", "Tile")
        return self._single(node.input[0]) if node is not None and spread else None

    def last(self, node: onnx.NodeProto) -> int | None:
        """Return the axis along which a node takes the last entry; None if it does not."""
        shape = self.shapes.get(node.input[0], ())
        if node.op_type == "Gather" and shape:
            axis, places = self._gathered(node, len(shape))
            return axis if places is not None and places.size == 1 and places.item() == -1 else None
        return self._sliced(node, len(shape), lambda end, step: step == 1 and end > _FAR)

    def _gathered(self, node: onnx.NodeProto, rank: int) -> tuple[int, Array | None]:
        return int(attributes(node).get("axis", 0)) % rank, self.graph.constant(node.input[1])

    def _sliced(self, node: onnx.NodeProto, rank: int, fits: Callable[[int, int], bool]) -> int | None:
        """Return the axis of a Slice along one axis that starts at the last entry, if its end and step fit."""
        if node.op_type != "Slice" or not rank:
            return None
        numbers = [self.graph.constant(operand(node, place)) for place in range(1, 5)]
        numbers[3] = numbers[3] if operand(node, 4) else np.ones(1, np.int64)
        if any(number is None or number.size != 1 for number in numbers):
            return None
        start, end, axis, step = (int(number.item()) for number in numbers if number is not None)
        return axis % rank if start == -1 and fits(end, step) else None
