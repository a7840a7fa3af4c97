"""The onnxruntime backend: it runs any streaming graph, float or int8, and behaves as the engine does."""

import sys
from pathlib import Path
from typing import Any, Literal

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.quant import quantize
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.backends.folded_weights import fold_weights
from tidegate.runtime.backends.onnxruntime import OnnxruntimeModel
from tidegate.runtime.backends.onnxruntime_session import open_session
from tidegate.runtime.backends.onnxruntime_stream import OnnxruntimeStream
from tidegate.runtime.contract import Contract, Port, State
from tidegate.runtime.errors import BackendError, ChunkError, ContractError, ModelError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.graph.initial_states import initial_states
from tidegate.runtime.load import load
from tidegate.runtime.plan.magic import MAGIC
from tools.onnx_files import write_ids, write_lstm
from tools.onnxruntime_models import FRAMES, gain, graph_of


def test_backend_says_its_name(tmp_path: Path) -> None:
    assert load(write_lstm(tmp_path / "m.onnx"), "onnxruntime").backend == "onnxruntime"


# ---- models ----


def test_model_that_onnxruntime_lacks_is_refused(tmp_path: Path) -> None:
    path = write_lstm(tmp_path / "m.onnx", nodes=[helper.make_node("Erf", ["output"], ["z"], domain="com.example")])
    with pytest.raises(ModelError, match=r"m\.onnx: onnxruntime refuses the model: .*com\.example"):
        load(path, "onnxruntime")


def test_missing_package_is_an_error_that_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"onnxruntime is not installed; pip install 'tidegate\[onnxruntime\]'"):
        load(write_lstm(tmp_path / "m.onnx"), "onnxruntime")


def test_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.plan").write_bytes(MAGIC + bytes(100))
    with pytest.raises(ModelError, match=r"a compiled plan runs only on backend='native'; load the ONNX file"):
        load(tmp_path / "m.plan", "onnxruntime")


def test_two_signal_inputs_are_refused() -> None:
    graph = gain()
    graph.model.graph.input.append(helper.make_tensor_value_info("x2", TensorProto.FLOAT, ["time", 6]))
    contract = Contract((Port("x", 0, None), Port("x2", 0, None)), (Port("double", 0, None),), ())
    graph.set_metadata("tidegate.contract", contract.to_json())
    with pytest.raises(ModelError, match="2 signal inputs; a stream takes one"):
        OnnxruntimeModel(graph).stream()


@pytest.mark.parametrize("what", ["input", "output", "state input", "state output"])
def test_name_of_the_contract_that_the_graph_lacks_is_refused(tmp_path: Path, what: str) -> None:
    name = {"input": "x", "output": "output", "state input": "lstm.h_in", "state output": "lstm.h_out"}[what]
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    text = graph.metadata("tidegate.contract") or ""
    graph.set_metadata("tidegate.contract", text.replace(f':"{name}"', ':"absent"'))
    with pytest.raises(ContractError, match="'absent'"):
        OnnxruntimeModel(graph).stream().push(FRAMES)


# ---- quantized weights ----

CODES = np.random.default_rng(0).integers(-127, 128, (6, 4)).astype(np.int8)
SCALES = np.linspace(0.01, 0.04, 4, dtype=np.float32)
COLUMN_SCALES = np.linspace(0.01, 0.06, 6, dtype=np.float32)
SMALL_CODES = np.random.default_rng(0).integers(-7, 8, (6, 4)).astype(np.int8)
ZEROS = np.array([0, 3, -4, 0], np.int8)


def quantized(codes: Array, scales: Array, zero: Array | None = None, **attributes: Any) -> Graph:  # noqa: ANN401
    """Return x . weights for weights made by a DequantizeLinear."""
    tensors = {"codes": codes, "scales": scales} | ({} if zero is None else {"zero": zero})
    nodes = [
        helper.make_node("DequantizeLinear", list(tensors), ["W"], **attributes),
        helper.make_node("MatMul", ["x", "W"], ["y"]),
    ]
    return graph_of(nodes, [Port("x", 0, None), Port("y", 0, None)], ["time", 6], **tensors)


def folded(graph: Graph) -> bool:
    return all(node.op_type != "DequantizeLinear" for node in fold_weights(graph).nodes)


@pytest.mark.parametrize(
    ("graph", "weights", "folds"),
    [
        (quantized(CODES, SCALES), CODES * SCALES, True),
        (quantized(CODES, SCALES, axis=-1), CODES * SCALES, True),
        (quantized(CODES, COLUMN_SCALES, axis=0), CODES * COLUMN_SCALES[:, None], True),
        (quantized(CODES, SCALES[0]), CODES * SCALES[0], True),
        (quantized(CODES, SCALES, np.zeros(4, np.int8)), CODES * SCALES, True),
        (quantized(CODES, SCALES, ZEROS), (CODES - ZEROS.astype(np.float32)) * SCALES, False),
        (quantized(SMALL_CODES.astype(ml_dtypes.int4), SCALES), SMALL_CODES * SCALES, True),
        (quantized(300 * CODES.astype(np.int16), SCALES), 300 * CODES.astype(np.int16) * SCALES, True),
        (quantized(CODES.view(np.uint8), SCALES), CODES.view(np.uint8) * SCALES, False),
        (quantized(CODES, np.full((2, 4), SCALES), axis=0, block_size=3), CODES * SCALES, True),
    ],
    ids=[
        *["rows", "negative axis", "columns", "one scale", "zero point of zeros", "zero point", "int4", "int16"],
        *["uint8", "blocks"],
    ],
)
def test_quantized_weights_mean_what_the_file_says(graph: Graph, weights: Floats, folds: bool) -> None:
    """Weights give the same product, whether they become floats at load or onnxruntime converts them."""
    answer = OnnxruntimeModel(graph).stream().push(FRAMES)
    np.testing.assert_allclose(np.asarray(answer), FRAMES @ weights, rtol=1e-5, atol=1e-5)
    assert folded(graph) is folds


def test_weights_that_are_not_constant_are_left_alone() -> None:
    graph = quantized(CODES, SCALES)
    scale = graph.model.graph.initializer.pop()
    graph.model.graph.node.insert(0, helper.make_node("Exp", ["logs"], ["scales"]))
    graph.model.graph.initializer.append(numpy_helper.from_array(np.log(numpy_helper.to_array(scale)), "logs"))
    made = Graph(graph.model)
    assert not folded(made)
    answer = OnnxruntimeModel(made).stream().push(FRAMES)
    np.testing.assert_allclose(np.asarray(answer), FRAMES @ (CODES * SCALES), rtol=1e-5, atol=1e-5)


def test_folding_changes_no_answer_of_a_quantized_file(tmp_path: Path) -> None:
    """The reference is onnxruntime's own DequantizeLinear at every call."""
    quantize(write_lstm(tmp_path / "m.onnx", hidden=32), tmp_path / "m.int8.onnx")
    graph = Graph.load(tmp_path / "m.int8.onnx")
    plain = OnnxruntimeStream(
        open_session(graph.model.SerializeToString()), graph.contract, initial_states(graph, graph.contract), bytes(32)
    )
    np.testing.assert_allclose(
        np.asarray(OnnxruntimeModel(graph).stream().push(FRAMES)), np.asarray(plain.push(FRAMES)), atol=1e-6
    )


def test_states_are_those_of_the_contract(tmp_path: Path) -> None:
    model = load(write_lstm(tmp_path / "m.onnx"), "onnxruntime")
    assert [type(s) for s in model.contract.states] == [State, State]
    assert {name: values.shape for name, values in model.stream().state().items()} == {
        "lstm.h_in": (1, 1, 8),
        "lstm.c_in": (1, 1, 8),
    }


# ---- what both backends refuse and answer alike ----

Backend = Literal["native", "onnxruntime"]
BOTH: tuple[Backend, ...] = ("native", "onnxruntime")


@pytest.mark.parametrize("backend", BOTH)
@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (np.array([3, -1]), "chunk holds id -1 at frame 1; wanted 0 .*; chunk refused, state unchanged"),
        (np.array([True]), "chunk has dtype bool, wanted "),
        (np.ones(2), "chunk has dtype float64, wanted "),
    ],
)
def test_row_125_ids_that_count_from_the_end_are_refused_on_both_backends(
    tmp_path: Path, backend: Backend, chunk: Array, message: str
) -> None:
    stream = load(write_ids(tmp_path / "m.onnx"), backend).stream()
    stream.push(np.array([3]))
    before = stream.snapshot()
    with pytest.raises(ChunkError, match=message):
        stream.push(chunk)
    assert stream.state().keys() == {"lstm.h_in", "lstm.c_in"}
    fresh = load(tmp_path / "m.onnx", backend).stream()
    fresh.restore(before)
    for name, values in fresh.state().items():
        np.testing.assert_array_equal(values, stream.state()[name])


@pytest.mark.parametrize("backend", BOTH)
@pytest.mark.parametrize("chunk", [None, "frames", object()])
def test_a_chunk_that_is_no_array_is_refused(tmp_path: Path, backend: Backend, chunk: Any) -> None:  # noqa: ANN401
    with pytest.raises(ChunkError, match="chunk has "):
        load(write_lstm(tmp_path / "m.onnx"), backend).stream().push(chunk)


@pytest.mark.parametrize("backend", BOTH)
def test_a_push_of_no_rows_answers_with_no_rows(tmp_path: Path, backend: Backend) -> None:
    group = load(write_lstm(tmp_path / "m.onnx"), backend).streams(2)
    assert np.asarray(group.push(np.zeros((0, 1, 6), np.float32), [])).shape == (0, 3)
