"""Einsum of features in groups becomes one MatMul per group."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.export.rewrites.grouped_products import write_grouped_products
from tools.graphs import run


def model_of(equation: str, shape: tuple[int, ...], weights: tuple[int, ...]) -> onnx.ModelProto:
    w = np.random.default_rng(0).standard_normal(weights).astype(np.float32)
    node = helper.make_node("Einsum", ["x", "w"], ["y"], name="einsum", equation=equation)
    read = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "einsum", [read], [made], [numpy_helper.from_array(w, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


SAME = [("btgi,gih->btgh", (2, 5, 3, 4)), ("b g i, g i h -> b g h", (2, 3, 4))]
OTHER = [("btgi,gih->btg", (2, 5, 3, 4)), ("btgi,gih->tbgh", (2, 5, 3, 4)), ("ggi,gih->ggh", (3, 3, 4))]


@pytest.mark.parametrize(("equation", "shape"), SAME)
def test_each_group_is_multiplied_by_its_matrix(equation: str, shape: tuple[int, ...]) -> None:
    model = model_of(equation, shape, (3, 4, 6))
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    (wanted,) = run(model, {"x": x}).values()
    write_grouped_products(model)
    assert [node.op_type for node in model.graph.node].count("MatMul") == 3
    (seen,) = run(model, {"x": x}).values()
    np.testing.assert_allclose(seen, wanted, atol=1e-6)


@pytest.mark.parametrize(("equation", "shape"), OTHER)
def test_other_equations_stay(equation: str, shape: tuple[int, ...]) -> None:
    model = model_of(equation, shape, (3, 4, 6))
    write_grouped_products(model)
    assert [node.op_type for node in model.graph.node] == ["Einsum"]
