"""Small operators on sums: what they compute, put back into numbers, is what the reference evaluator computes."""

import math
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.export.written_cells.small_operators import Step
from tidegate.export.written_cells.sums import Activation, Atom, Channel, Sum, Variable
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tools.graphs import floats, model_of, run

X = floats(1, 4)
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "Sigmoid": lambda v: 1 / (1 + math.exp(-v)),
    "Relu": lambda v: max(v, 0),
}


def value(step: Step, of: Sum) -> float:
    """Return the value of a sum."""
    factors = (f * np.prod([atom(step, step.atoms[n]) for n in monomial]) for monomial, f in of.items())
    return float(sum(factors))


def atom(step: Step, one: Atom) -> float:
    if isinstance(one, Variable):
        return float(X.ravel()[one.index])
    if isinstance(one, Channel):
        inputs = [value(step, of) for of in one.product.inputs]
        return float(np.dot(inputs, one.product.weights[:, one.index]))
    assert isinstance(one, Activation)
    if one.function == "Clip":
        return min(max(value(step, one.of), one.options[0]), one.options[1])
    return _FUNCTIONS[one.function](value(step, one.of))


def node(kind: str, *more: str, **options: object) -> onnx.NodeProto:
    return helper.make_node(kind, ["x", *more], ["y"], "n", **options)  # type: ignore[arg-type]


def number(value: float) -> Array:
    return np.array(value, np.float32)


W = floats(4, 3, seed=1)
NODES: list[tuple[onnx.NodeProto, dict[str, Array]]] = [
    (node("MatMul", "w"), {"w": W}),
    (node("MatMul", "w"), {"w": W[None]}),
    (node("Gemm", "w", alpha=0.5), {"w": W}),
    (node("Gemm", "w", "b", transB=1, beta=2.0), {"w": np.ascontiguousarray(W.T), "b": floats(3)}),
    (helper.make_node("Gemm", ["w", "x"], ["y"], transB=1), {"w": np.ascontiguousarray(W.T)}),
    (node("Sub", "b"), {"b": floats(1, 4)}),
    (helper.make_node("Sub", ["b", "x"], ["y"]), {"b": number(1)}),
    (node("Mul", "b"), {"b": floats(4)}),
    (node("Mul", "x"), {}),
    (node("Div", "b"), {"b": number(4)}),
    (node("Sum", "x", "b"), {"b": floats(1, 4)}),
    (node("Neg"), {}),
    (node("Sigmoid"), {}),
    (node("Clip", "low"), {"low": number(0)}),
    (node("Clip", "", "high"), {"high": number(0.1)}),
    (node("Max", "low"), {"low": number(0.1)}),
    (node("Min", "high"), {"high": number(0.1)}),
    (node("Concat", "x", axis=0), {}),
    (node("Concat", "b", axis=1), {"b": floats(1, 2)}),
    (node("Transpose"), {}),
    (node("Reshape", "s"), {"s": np.array([2, -1])}),
    (node("Expand", "s"), {"s": np.array([3, 4])}),
    (node("Gather", "i", axis=1), {"i": np.array([2, 0])}),
    (node("Cast", to=onnx.TensorProto.FLOAT), {}),
    (node("Slice", "from", "to", "axis"), {"from": np.array([1]), "to": np.array([2**62]), "axis": np.array([1])}),
]


@pytest.mark.parametrize(("made", "tensors"), NODES, ids=[f"{i}-{made.op_type}" for i, (made, _) in enumerate(NODES)])
def test_an_operator_on_sums(made: onnx.NodeProto, tensors: dict[str, Array]) -> None:
    model = model_of([made], {"x": (1, 4)}, ["y"], tensors)
    step = Step(Graph(model), {"x": (1, 4)})
    seen = [value(step, of) for of in step.sums("y")]
    np.testing.assert_allclose(seen, run(model, {"x": X})["y"].ravel(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("made", "tensors", "message"),
    [
        (node("MatMul", "t"), {}, "MatMul 'n': multiplies two values, or weights of other axes"),
        (node("Clip", "x"), {}, "Clip 'n': its limits are not constant, wanted one number each"),
        (node("Div", "x"), {}, "Div 'n': is an operator that no LSTM, GRU or RNN has"),
        (node("Add", "t"), {"t": np.zeros((2**15, 4), np.float32)}, "'y' has 131072 values per stream, wanted at most"),
    ],
)
def test_what_no_cell_computes_is_refused(made: onnx.NodeProto, tensors: dict[str, Array], message: str) -> None:
    turned = helper.make_node("Transpose", ["x"], ["t"], "turn")
    nodes = [made] if "t" in tensors else [turned, made]
    step = Step(Graph(model_of(nodes, {"x": (1, 4)}, ["y"], tensors)), {"x": (1, 4)})
    with pytest.raises(UnsupportedError, match=message):
        step.sums("y")
