"""Ids of other types become int64, and the answers stay."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tidegate.export import lift
from tidegate.export.foreign.integer_ids import widen_ids
from tidegate.runtime.load import load
from tools import foreign_files
from tools.foreign_files import ForeignFile
from tools.graphs import run
from tools.lifting import assert_streams_as, lifted, original

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


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL])
def test_other_inputs_stay(kind: int) -> None:
    model = _tagger(kind, cast=True)
    before = model.SerializeToString()
    assert widen_ids(model) == []
    assert model.SerializeToString() == before


# ---- ids that come as floats ----


def _keras(kind: int = TensorProto.INT32, *, other: str = "") -> onnx.ModelProto:
    """Return Keras's Embedding and an LSTM over ids that come as floats `[batch, time]`."""
    file = ForeignFile(17)
    ids = file.add("Cast", [file.input("ids", ["batch", "time"])], to=kind)
    x = file.add("Transpose", [file.add("Gather", [file.weight(50, 5), ids], axis=0)], perm=[1, 0, 2])
    start = []
    if other == "Shape":  # zeros of the batch's size
        size = file.add("Slice", [file.add("Shape", ["ids"]), file.axes(0), file.axes(1)])
        zeros = file.add("ConstantOfShape", [file.add("Concat", [file.axes(1), size, file.axes(6)], axis=0)])
        start = [zeros, zeros]
    y, *_ = file.cell("LSTM", x, 5, 6, start)
    y = file.add("Transpose", [file.squeezed(y, 1)], perm=[1, 0, 2])
    if other == "Mul":
        y = file.add("Mul", [y, file.add("Unsqueeze", ["ids", file.axes(2)])])
    file.output(file.head(y, 6, 3, "tags"), ["batch", "time", 3])
    return file.model()


@pytest.mark.parametrize("other", ["", "Shape"])
@pytest.mark.parametrize("kind", [TensorProto.INT32, TensorProto.INT64])
def test_ids_that_come_as_floats_are_pushed_as_integers(tmp_path: Path, kind: int, other: str) -> None:
    report = lifted(tmp_path, _keras(kind, other=other))
    assert report.done[0] == "Ids of float are int64 now."
    ids = np.random.default_rng(1).integers(0, 50, 20)
    assert_streams_as(tmp_path, ids, original(tmp_path, ids[None].astype(np.float32))[0])


def test_numbers_that_are_read_as_numbers_too_stay_floats() -> None:
    model = _keras(other="Mul")
    assert widen_ids(model) == []
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_a_signal_that_is_cast_to_another_float_stays_a_float() -> None:
    model = _keras(TensorProto.INT32)
    next(node for node in model.graph.node if node.op_type == "Cast").attribute[0].i = TensorProto.FLOAT16
    assert widen_ids(model) == []
