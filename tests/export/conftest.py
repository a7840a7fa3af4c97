"""ONNX graphs made by hand, so that tests of lifting need no torch."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

MakeGraph = Callable[..., onnx.ModelProto]


@pytest.fixture(scope="session")
def make_graph() -> MakeGraph:
    """Return a maker of graphs: recurrent nodes in a row, from zeros, x [time, batch, 3] -> y [time, batch, hidden]."""

    def make(
        names: Sequence[str] = ("/lstm/LSTM",),
        hidden: Sequence[int] = (4, 4, 4),
        op: str = "LSTM",
        opset: int = 20,
        inputs: dict[int, str] | None = None,
        **options: Any,  # noqa: ANN401 - attributes of the node
    ) -> onnx.ModelProto:
        random = np.random.default_rng(1)
        chain = _zeros(hidden[0])
        weights = [numpy_helper.from_array(np.array([1], np.int64), "one")]
        signal, width = "x", 3
        for i, (name, size) in enumerate(zip(names, hidden, strict=False)):
            shapes = {"W": (1, 4 * size, width), "R": (1, 4 * size, size), "B": (1, 8 * size)}
            for letter, shape in shapes.items():
                values = random.standard_normal(shape).astype(np.float32)
                weights.append(numpy_helper.from_array(values, f"onnx::{letter}{i}"))
            operands = [signal, *(f"onnx::{letter}{i}" for letter in shapes), "", "zero", "zero", ""]
            for position, operand in (inputs or {}).items():
                operands[position] = operand
            outputs = [f"Y{i}", f"Yh{i}", f"Yc{i}"]
            chain.append(helper.make_node(op, operands, outputs, name, hidden_size=size, **options))
            signal, width = ("y" if i == len(names) - 1 else f"y{i}"), size
            chain.append(helper.make_node("Squeeze", [f"Y{i}", "one"], [signal]))
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["axis0", "axis1", 3])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["axis0", "axis1", width])
        graph = helper.make_graph(chain, "made", [x], [y], weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)

    return make


def _zeros(hidden: int) -> list[onnx.NodeProto]:
    """Return nodes that make `zero` [1, batch, hidden], as torch's exporter does; all layers share it."""
    sizes = {"layers": [1], "hidden": [hidden]}
    constants = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(size, np.int64)))
        for name, size in sizes.items()
    ]
    return [
        *constants,
        helper.make_node("Shape", ["x"], ["size"], start=1, end=2),
        helper.make_node("Concat", ["layers", "size", "hidden"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["zero"]),
    ]
