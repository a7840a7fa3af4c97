"""An answer of one number gets an axis of features."""

import onnx
import pytest
from onnx import TensorProto, helper
from tidegate.export.graph.axes import shape_of
from tidegate.export.graph.features import give_features
from tidegate.runtime.contract import Port


@pytest.mark.parametrize(
    ("shape", "port"),
    [
        (["batch"], Port("y", None, 0)),
        (["time"], Port("y", 0, None)),
        (["batch", "time"], Port("y", 1, 0)),
    ],
)
def test_one_number_gets_an_axis(shape: list[str | int], port: Port) -> None:
    model = identity(shape)
    assert give_features(model, {"y": port}) == ("y",)
    assert shape_of(model.graph.output[0]) == (*shape, 1)
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize(
    ("shape", "port"), [(["batch", 3], Port("y", None, 0)), (["batch", "time", 1], Port("y", 1, 0))]
)
def test_other_answers_stay(shape: list[str | int], port: Port) -> None:
    model = identity(shape)
    assert give_features(model, {"y": port}) == ()
    assert give_features(model, {}) == ()
    assert len(model.graph.node) == 1


def identity(shape: list[str | int]) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "made", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=8)
