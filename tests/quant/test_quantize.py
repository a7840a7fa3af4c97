"""Quantizing files: what is written, what is reported, what is refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from programs import write_lstm
from tidegate.quant import quantize
from tidegate.runtime.errors import ContractError, ModelError, QuantizationError
from tidegate.runtime.graph import Graph
from tidegate.runtime.model import load
from tidegate.runtime.native import NativeModel


def test_recurrent_and_linear_weights_become_int8_with_a_scale_a_row(tmp_path: Path) -> None:
    report = quantize(write_lstm(tmp_path / "m.onnx", hidden=64), tmp_path / "m.int8.onnx")
    assert [(w.name, w.shape, w.bits, w.recurrent) for w in report.weights] == [
        ("W", (256, 6), 8, True),
        ("R", (256, 64), 8, True),
        ("V", (3, 64), 8, False),
    ]
    assert all(0 < w.error < 0.01 for w in report.weights)
    assert report.recurrent_float == ()
    assert report.bytes == (tmp_path / "m.int8.onnx").stat().st_size < 0.35 * report.source_bytes
    assert report.backend.startswith("native")
    tensors = {t.name: t for t in Graph.load(tmp_path / "m.int8.onnx").model.graph.initializer}
    assert tensors["R.int8"].data_type == TensorProto.INT8
    assert list(tensors["R.scale"].dims) == [256]
    assert not {"W", "R", "V"} & set(tensors)


def test_written_file_is_standard_onnx(tmp_path: Path) -> None:
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    model = onnx.load(tmp_path / "m.int8.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}


def test_int8_differs_from_float_and_stays_close(tmp_path: Path) -> None:
    """An int8 answer that equals float exactly would mean that nothing was quantized."""
    pytest.importorskip("onnxruntime")
    source = write_lstm(tmp_path / "m.onnx", hidden=64)
    quantize(source, tmp_path / "m.int8.onnx")
    frames = np.random.default_rng(1).normal(0, 1, (50, 6)).astype(np.float32)
    exact = np.asarray(load(source, "onnxruntime").stream().push(frames))
    rounded = np.asarray(load(tmp_path / "m.int8.onnx").stream().push(frames))
    assert 0 < np.max(np.abs(exact - rounded)) < 0.05


@pytest.mark.parametrize("bits", [8, 16])
def test_activation_bits_reach_the_engine(tmp_path: Path, bits: int) -> None:
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx", activation_bits=bits)
    from tidegate.runtime.lower import lower
    from tidegate.runtime.program import Lstm

    lstm = next(op for op in lower(Graph.load(tmp_path / "m.int8.onnx")).ops if isinstance(op, Lstm))
    assert (lstm.w.bits, lstm.r.bits) == (bits, bits)
    assert isinstance(load(tmp_path / "m.int8.onnx"), NativeModel)


def test_recurrent_weight_that_is_not_constant_is_reported_as_float(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    zero = numpy_helper.from_array(np.zeros((), np.float32), "zero")
    graph.model.graph.initializer.append(zero)
    graph.model.graph.node.insert(0, helper.make_node("Add", ["R", "zero"], ["R2"]))
    next(n for n in graph.nodes if n.op_type == "LSTM").input[2] = "R2"
    graph.save(tmp_path / "m.onnx")
    report = quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    assert [(w.name, w.reason) for w in report.recurrent_float] == [("R2", "not a constant of the graph")]
    assert report.backend == "onnxruntime"


def test_embedding_table_becomes_int8_with_a_scale_an_id(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    table = np.random.default_rng(0).normal(0, 1, (10, 6)).astype(np.float32)
    graph.model.graph.initializer.append(numpy_helper.from_array(table, "table"))
    graph.model.graph.node.insert(0, helper.make_node("Gather", ["table", "x"], ["looked up"], name="embedding"))
    next(n for n in graph.nodes if n.op_type == "LSTM").input[0] = "looked up"
    ids = helper.make_tensor_value_info("x", TensorProto.INT64, ["time", "batch"])
    graph.model.graph.input[0].CopyFrom(ids)
    graph.save(tmp_path / "m.onnx")
    report = quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    row = next(w for w in report.weights if w.name == "table")
    assert (row.shape, row.bits, row.recurrent) == ((10, 6), 8, False)
    assert report.backend.startswith("native")
    model = onnx.load(tmp_path / "m.int8.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {t.name: list(t.dims) for t in model.graph.initializer}["table.scale"] == [10]
    seen = load(tmp_path / "m.int8.onnx", "native").stream().push(np.arange(10))
    wanted = load(tmp_path / "m.int8.onnx", "onnxruntime").stream().push(np.arange(10))
    np.testing.assert_allclose(np.asarray(seen), np.asarray(wanted), atol=1e-4)


def no_recurrent_node(path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value("x", 1, [1])], [value("y", 1, [1])])
    path.write_bytes(helper.make_model(graph).SerializeToString())


def test_file_without_recurrent_node_is_refused(tmp_path: Path) -> None:
    no_recurrent_node(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"no recurrent node \(LSTM, GRU, RNN\) in the graph, only Relu"):
        quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    assert not (tmp_path / "m.int8.onnx").exists()


def test_file_without_contract_is_refused(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    del graph.model.metadata_props[:]
    graph.save(tmp_path / "m.onnx")
    with pytest.raises(ContractError, match=r"no tidegate\.contract"):
        quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")


def test_quantized_twice_is_refused(tmp_path: Path) -> None:
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    with pytest.raises(QuantizationError, match="already quantized; start from the float file"):
        quantize(tmp_path / "m.int8.onnx", tmp_path / "again.onnx")


def test_weight_with_nan_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    tensor = next(t for t in graph.model.graph.initializer if t.name == "R")
    values = numpy_helper.to_array(tensor).copy()
    values[0, 3, 2] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(values, "R"))
    graph.save(tmp_path / "m.onnx")
    (tmp_path / "m.int8.onnx").write_bytes(b"the old file")
    with pytest.raises(QuantizationError, match="LSTM 'lstm': weight 'R' holds NaN or infinity"):
        quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    assert (tmp_path / "m.int8.onnx").read_bytes() == b"the old file"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.int8.onnx", "m.onnx"]


def test_activation_bits_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(QuantizationError, match="activation_bits is 4, wanted 16 or 8"):
        quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx", activation_bits=4)
