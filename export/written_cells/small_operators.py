"""The small operators of a step, run on sums: every element of a value becomes a sum of products of atoms."""

from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from ...runtime.arrays import Array
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.recurrent_nodes import MOVES
from .sums import Atoms, Sum, constant, minus, plus, term, times

MAX_SIZE = 2**16  # elements of a value; four gates of 8,192 units have half as many

_ARRANGING = MOVES | {"Concat"}
_POINTWISE: dict[str, Callable[[Sum, Sum], Sum]] = {"Add": plus, "Mul": times, "Sub": minus, "Sum": plus}
ACTIVATIONS: dict[str, dict[str, float]] = {
    **{name: {} for name in ("Relu", "Sigmoid", "Softplus", "Softsign", "Tanh")},
    "Elu": {"alpha": 1.0},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "LeakyRelu": {"alpha": 0.01},
    "ThresholdedRelu": {"alpha": 1.0},
}  # activations of ONNX's recurrent operators, each with its attributes and their defaults as an operator


class Step:
    """The values of one step, as arrays of sums of dtype object, or as plain arrays if they are constant.

    Attributes:
        atoms: The atoms of its sums.
    """

    def __init__(self, graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Take a graph, and the signals and states that a step starts from with their shapes for one stream."""
        self.atoms = Atoms()
        self._graph = graph
        self._values: dict[str, Array] = {}
        for name, shape in shapes.items():
            numbers = [self.atoms.variable(name, i) for i in range(int(np.prod(shape)))]
            self._values[name] = _sums([term(number) for number in numbers], shape)

    def sums(self, name: str) -> list[Sum]:
        """Return the elements of a value, in the order of its axes.

        Raises:
            UnsupportedError: It depends on an operator that no cell has, or on a value that is neither a signal nor a
                state.
        """
        for node in self._cone(name):
            try:
                self._run(node)
            except UnsupportedError as error:
                raise UnsupportedError(f"{label(node)}: {error}") from error
        return list(_as_sums(self._value(name)).ravel())

    def _cone(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes that make a value and have not run yet, in the order of the file."""
        waiting, found = [name], set[str]()
        while waiting:
            node = self._graph.producer(wanted := waiting.pop())
            if node is not None and wanted not in self._values and node.output[0] not in found:
                found.add(node.output[0])
                waiting += [read for read in node.input if read]
        return [node for node in self._graph.nodes if node.output[0] in found]

    def _value(self, name: str) -> Array:
        if name not in self._values:
            value = self._graph.constant(name)
            if value is None:
                raise UnsupportedError(f"reads {name!r}, wanted only the signal, the states and constants")
            self._values[name] = value
        return self._values[name]

    def _run(self, node: onnx.NodeProto) -> None:
        reads = [self._value(name) if name else None for name in node.input]
        if not any(_symbolic(value) for value in reads):
            made = _evaluated(self._graph.opset(), node, reads)
        elif node.op_type == "Shape" and reads[0] is not None:
            made = _evaluated(self._graph.opset(), node, [np.zeros(reads[0].shape, np.float32)])
        elif node.op_type in _ARRANGING:
            made = _arranged(self._graph.opset(), node, reads)
        else:
            made = [self._computed(node, [value for value in reads if value is not None])]
        for name, value in zip(node.output, made, strict=False):
            if value.size > MAX_SIZE:
                raise UnsupportedError(f"{name!r} has {value.size} values per stream, wanted at most {MAX_SIZE}")
            self._values[name] = value

    def _computed(self, node: onnx.NodeProto, reads: list[Array]) -> Array:
        """Return the only output of an operator that computes."""
        kind = node.op_type
        if kind in _POINTWISE:
            return reduce(partial(_pointwise, _POINTWISE[kind]), reads)
        if kind == "Neg":
            return _scaled(reads[0], -1.0)
        if kind == "Div" and not _symbolic(reads[1]) and np.all(reads[1]):
            return _pointwise(times, reads[0], 1.0 / reads[1].astype(np.float64))
        if kind in ("MatMul", "Gemm"):
            return self._gemm(node, *reads) if kind == "Gemm" else self._product(node.output[0], *reads)
        if kind in ACTIVATIONS:
            given = attributes(node)
            options = tuple(float(given.get(name, default)) for name, default in ACTIVATIONS[kind].items())
            return self._activation(node.output[0], kind, options, reads[0])
        if kind in ("Clip", "Min", "Max"):
            return self._clip(node, reads[0])
        raise UnsupportedError("is an operator that no LSTM, GRU or RNN has")

    def _activation(self, name: str, function: str, options: tuple[float, ...], of: Array) -> Array:
        atoms = [self.atoms.activation(name, function, options, one) for one in of.ravel()]
        return _sums([term(atom) for atom in atoms], of.shape)

    def _clip(self, node: onnx.NodeProto, of: Array) -> Array:
        """Return a value within limits; limits of 0 and infinity are a Relu."""
        low, high = self._limits(node)
        if (low, high) == (0.0, np.inf):
            return self._activation(node.output[0], "Relu", (), of)
        return self._activation(node.output[0], "Clip", (low, high), of)

    def _limits(self, node: onnx.NodeProto) -> tuple[float, float]:
        given = attributes(node)
        bounds = [self._value(name) if name else None for name in node.input[1:]]
        if any(bound is not None and (_symbolic(bound) or bound.size != 1) for bound in bounds):
            raise UnsupportedError("its limits are not constant, wanted one number each")
        numbers = [None if bound is None else float(bound.item()) for bound in bounds]
        if node.op_type == "Max":
            return numbers[0] or 0.0, np.inf
        if node.op_type == "Min":
            return -np.inf, numbers[0] or 0.0
        low, high = (*numbers, None, None)[:2]
        return (
            given.get("min", -np.inf) if low is None else low,
            given.get("max", np.inf) if high is None else high,
        )

    def _gemm(self, node: onnx.NodeProto, a: Array, b: Array, c: Array | None = None) -> Array:
        given = attributes(node)
        a, b = (a.T if given.get("transA", 0) else a), (b.T if given.get("transB", 0) else b)
        made = _scaled(self._product(node.output[0], a, b), given.get("alpha", 1.0))
        return made if c is None else _pointwise(plus, made, _scaled(c, given.get("beta", 1.0)))

    def _product(self, name: str, a: Array, b: Array) -> Array:
        """Return the product of a value with constant weights of two axes."""
        if not _symbolic(a) and a.ndim == 2 and b.ndim == 2:
            return self._product(name, b.T, a.T).T
        while b.ndim > 2 and b.shape[0] == 1:
            b = b[0]
        if _symbolic(b) or b.ndim != 2 or a.shape[-1] != b.shape[0]:
            raise UnsupportedError("multiplies two values, or weights of other axes, wanted weights of two axes")
        weights = np.ascontiguousarray(b, np.float64)
        made = [self.atoms.channels(name, list(row), weights) for row in a.reshape(-1, a.shape[-1])]
        return _sums([term(number) for row in made for number in row], (*a.shape[:-1], b.shape[1]))


def _symbolic(value: Array | None) -> bool:
    return value is not None and value.dtype == object


def _sums(values: list[Sum], shape: tuple[int, ...]) -> Array:
    made = np.empty(len(values), object)
    made[:] = values
    return made.reshape(shape)


def _as_sums(value: Array) -> Array:
    return value if _symbolic(value) else _sums([constant(one) for one in value.ravel().tolist()], value.shape)


def _scaled(value: Array, factor: float) -> Array:
    return value if factor == 1.0 else _pointwise(times, value, np.array(factor))


def _pointwise(function: Callable[[Sum, Sum], Sum], a: Array, b: Array) -> Array:
    left, right = np.broadcast_arrays(_as_sums(a), _as_sums(b))
    made = [function(one, other) for one, other in zip(left.ravel(), right.ravel(), strict=True)]
    return _sums(made, left.shape)


def _arranged(opset: int, node: onnx.NodeProto, reads: list[Array | None]) -> list[Array]:
    """Return the outputs of an operator that only arranges values: it is run on their places."""
    count = len(reads) if node.op_type == "Concat" else 1
    moved = [_as_sums(value) for value in reads[:count] if value is not None]
    values = np.concatenate([value.ravel() for value in moved])
    ends = np.cumsum([0, *(value.size for value in moved)])
    places = [np.arange(end, end + value.size).reshape(value.shape) for end, value in zip(ends, moved, strict=False)]
    plain = onnx.NodeProto()
    plain.CopyFrom(node)
    if node.op_type in ("Cast", "CastLike"):
        plain = helper.make_node("Identity", node.input[:1], node.output)
    return [values[place] for place in _evaluated(opset, plain, [*places, *reads[count:]])]


def _evaluated(opset: int, node: onnx.NodeProto, reads: list[Array | None]) -> list[Array]:
    """Run one node on plain arrays."""
    given: dict[str, Any] = {
        name: value for name, value in zip(node.input, reads, strict=False) if name and value is not None
    }
    outputs = [name for name in node.output if name]
    inputs = [onnx.ValueInfoProto(name=name) for name in given]
    body = helper.make_graph([node], "step", inputs, [onnx.ValueInfoProto(name=name) for name in outputs])
    part = helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)])
    made = dict(zip(outputs, ReferenceEvaluator(part).run(None, given), strict=True))
    return [np.asarray(made[name]) if name else np.empty(0) for name in node.output]
