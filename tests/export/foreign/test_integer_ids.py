"""Ids of other integer types become int64, and the answers stay."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tidegate.export import lift
from tidegate.export.foreign.integer_ids import widen_ids
from tidegate.runtime.load import load
from tools import foreign_files
from tools.graphs import run

TYPES = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "uint16": TensorProto.UINT16, "int16": TensorProto.INT16}


def _tagger(kind: int, *, cast: bool) -> onnx.ModelProto:
    """Return a tagger whose ids have a type; its table reads them through a Cast of the file, or as they are."""
    model = foreign_files.tagger()
    model.graph.input[0].type.tensor_type.elem_type = kind
    if cast:
        for node in model.graph.node:
            node.input[:] = ["wide" if name == model.graph.input[0].name else name for name in node.input]
        name = model.graph.input[0].name
        model.graph.node.insert(0, helper.make_node("Cast", [name], ["wide"], to=TensorProto.INT64))
    return model


@pytest.mark.parametrize("name", TYPES)
def test_ids_of_other_types_stream_as_int64(tmp_path: Path, name: str) -> None:
    onnx.save(_tagger(TYPES[name], cast=True), tmp_path / "m.onnx")
    onnx.save(foreign_files.tagger(), tmp_path / "wide.onnx")
    report = lift(tmp_path / "m.onnx", tmp_path / "out.onnx")
    lift(tmp_path / "wide.onnx", tmp_path / "wide_out.onnx")
    assert f"Ids of {name} are int64 now." in report.done
    ids = np.arange(7)
    for backend in ("native", "onnxruntime"):
        seen, wanted = (
            np.asarray(load(tmp_path / file, backend).stream().push(ids)) for file in ("out.onnx", "wide_out.onnx")
        )
        np.testing.assert_array_equal(seen, wanted)


def test_nodes_that_need_the_old_type_read_a_cast() -> None:
    add = helper.make_node("Add", ["x", "x"], ["y"])
    item = helper.make_tensor_value_info("x", TensorProto.UINT8, ["time"])
    out = helper.make_tensor_value_info("y", TensorProto.UINT8, ["time"])
    model = helper.make_model(helper.make_graph([add], "made", [item], [out]), ir_version=8)
    assert widen_ids(model) == ["uint8"]
    np.testing.assert_array_equal(run(model, {"x": np.array([1, 200])})["y"], [2, 144])


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT, TensorProto.BOOL])
def test_other_inputs_stay(kind: int) -> None:
    model = _tagger(kind, cast=True)
    before = model.SerializeToString()
    assert widen_ids(model) == []
    assert model.SerializeToString() == before
