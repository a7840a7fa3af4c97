"""Operator sets: a modern file stays as it is, an older one is converted, or refused with the reason."""

import numpy as np
import pytest
from onnx import helper
from tidegate.export.foreign.opsets import MODERN, modernize
from tidegate.export.states.recurrent_states import MIN_OPSET
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tools.graphs import floats, model_of, run


@pytest.mark.parametrize("opset", [MIN_OPSET, MODERN, 20])
def test_a_modern_file_is_returned_as_it_is(opset: int) -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": [3]}, ["y"], opset=opset)
    before = model.SerializeToString()
    assert modernize(model) is model
    assert model.SerializeToString() == before


@pytest.mark.parametrize("opset", [9, 11, MIN_OPSET - 1])
def test_an_older_file_computes_the_same_after_conversion(opset: int) -> None:
    nodes = [
        helper.make_node("Squeeze", ["x"], ["flat"], axes=[0]),
        helper.make_node("ReduceSum", ["flat"], ["y"], axes=[1], keepdims=0),
    ]
    made = modernize(model_of(nodes, {"x": [1, 2, 3]}, ["y"], opset=opset))
    assert Graph(made).opset() == MODERN
    x = floats(1, 2, 3)
    np.testing.assert_allclose(run(made, {"x": x})["y"], x[0].sum(1), rtol=1e-6)


def test_a_file_that_onnx_cannot_convert_is_refused() -> None:
    model = model_of([helper.make_node("NoSuchOperator", ["x"], ["y"])], {"x": [3]}, ["y"], opset=11)
    with pytest.raises(
        UnsupportedError,
        match=rf"operator set 11, wanted at least {MIN_OPSET}, and onnx.version_converter refuses it \(.*NoSuch.*; "
        "export the model again with a newer operator set",
    ):
        modernize(model)
    newer = model_of([helper.make_node("NoSuchOperator", ["x"], ["y"])], {"x": [3]}, ["y"], opset=MIN_OPSET)
    assert modernize(newer) is newer  # the gate judges its operators


def test_a_later_set_may_be_wanted() -> None:
    model = model_of([helper.make_node("Split", ["x"], ["y", "z"], axis=0)], {"x": [4]}, ["y"], opset=17)
    assert Graph(modernize(model, 18)).opset() == 18
    assert modernize(model, 17) is model
