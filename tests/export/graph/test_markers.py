"""Markers of tidegate's own domain, and the order of gates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from tidegate.export.graph.markers import DOMAIN, PROJECTION, STEP_MARKERS, forget_markers, in_onnx_order, is_marker
from tools.graphs import floats, model_of


@pytest.mark.parametrize(
    ("operator", "torch_order", "onnx_order"), [("LSTM", "ifgo", "iofg"), ("GRU", "rzn", "zrn"), ("RNN", "h", "h")]
)
@given(hidden=st.integers(1, 5))
def test_gates_are_put_in_the_order_of_onnx(operator: str, torch_order: str, onnx_order: str, hidden: int) -> None:
    blocks = {gate: floats(hidden, 3, seed=i) for i, gate in enumerate(torch_order)}
    seen = in_onnx_order(np.concatenate([blocks[gate] for gate in torch_order]), operator)
    np.testing.assert_array_equal(seen, np.concatenate([blocks[gate] for gate in onnx_order]))


def test_a_bias_is_ordered_like_a_weight() -> None:
    np.testing.assert_array_equal(in_onnx_order(np.arange(8), "LSTM"), [0, 1, 6, 7, 2, 3, 4, 5])


def test_only_a_node_of_the_own_domain_is_a_marker() -> None:
    marker = helper.make_node("GRUCell", ["x"], ["h"], domain=DOMAIN)
    assert is_marker(marker, *STEP_MARKERS.values())
    assert not is_marker(marker, STEP_MARKERS["LSTM"], PROJECTION)
    assert not is_marker(helper.make_node("LSTM", ["x"], ["y"]), PROJECTION), "the standard LSTM is none"


def test_only_the_import_of_the_own_domain_is_dropped() -> None:
    model = model_of([], {}, [], domains=[DOMAIN, "com.microsoft"])
    forget_markers(model)
    assert [opset.domain for opset in model.opset_import] == ["", "com.microsoft"]
