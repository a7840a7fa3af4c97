"""The cells by their formulas equal torch's; the GRU with an early reset gate equals ONNX's."""

import numpy as np
import pytest
from cells import Doubles, early_gru, gru, lstm, relu, sigmoid
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

FRAMES, INPUTS, UNITS = 7, 3, 4
RANDOM = np.random.default_rng(0)


def weights(gates: int) -> list[Doubles]:
    """Return matrices of the input and of h, and both biases."""
    shapes = ((gates * UNITS, INPUTS), (gates * UNITS, UNITS), (gates * UNITS,), (gates * UNITS,))
    return [RANDOM.normal(0, 0.5, shape) for shape in shapes]


X, H, C = (RANDOM.normal(0, 1, shape) for shape in ((FRAMES, INPUTS), (UNITS,), (UNITS,)))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_cells_equal_torch(kind: str) -> None:
    torch = pytest.importorskip("torch")
    w, r, b_w, b_r = weights(4 if kind == "LSTM" else 3)
    layer = getattr(torch.nn, kind)(INPUTS, UNITS).double()
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    layer.load_state_dict(dict(zip(names, map(torch.from_numpy, (w, r, b_w, b_r)), strict=True)))
    h, c = (torch.from_numpy(value)[None] for value in (H, C))
    wanted = layer(torch.from_numpy(X), (h, c) if kind == "LSTM" else h)[0].detach().numpy()
    seen = lstm(X, w, r, b_w + b_r, h=H, c=C) if kind == "LSTM" else gru(X, w, r, b_w, b_r, h=H)
    np.testing.assert_allclose(seen, wanted, atol=1e-12)


def test_the_early_reset_gate_equals_onnx() -> None:
    w, r, b, _ = weights(3)
    names = {"x": X[:, None], "w": w[None], "r": r[None], "b": np.concatenate([b, 0 * b])[None]}
    inputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, value.shape) for name, value in names.items()]
    outputs = [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)]
    node = helper.make_node("GRU", list(names), ["y"], hidden_size=UNITS)  # linear_before_reset is 0
    graph = helper.make_graph([node], "gru", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (wanted,) = ReferenceEvaluator(model).run(None, names)
    np.testing.assert_allclose(early_gru(X, w, r, b, np.tanh), np.asarray(wanted)[:, 0, 0], atol=1e-12)


def test_functions() -> None:
    np.testing.assert_array_equal(relu(np.array([-1.0, 0, 2])), [0, 0, 2])
    np.testing.assert_allclose(sigmoid(np.array([-1.0, 0, 1])).sum(), 1.5)
