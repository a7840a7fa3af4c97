"""onnxruntime's int8 LSTM: really int8, really streaming, close to float64."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from kernels.building import run
from onnx import TensorProto, helper, numpy_helper
from tidegate.benchmarks.measuring.jobs import file_job, stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import onnxruntime
from tidegate.benchmarks.peers.job import CannotRunError, Job, Variant
from tidegate.runtime import _kernels
from tidegate.runtime.arrays import Array
from tools.onnx_files import write_ids
from tools.processors import WITHOUT_AVX2, WITHOUT_VNNI, emulated_python

SMALL = stacks.Case("small", 8, 16, 2)


def stream(job: Job, precision: str, how: str) -> list[np.ndarray]:
    """Prepare and load a variant, and return its answers to the job's signal, a chunk each."""
    variant = Variant(precision, how)
    onnxruntime.prepare(job, variant)
    step = onnxruntime.load(job, variant)
    return [np.array(step(chunk)) for chunk in job.chunks()]


def test_every_lstm_becomes_dynamic_quantize_lstm(tmp_path: Path) -> None:
    stacks.save_model(stacks.random_layers(SMALL), tmp_path / "float.onnx")

    onnxruntime.quantize(tmp_path / "float.onnx", tmp_path / "int8.onnx")

    operators = Counter(node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node)
    assert operators["DynamicQuantizeLSTM"] == 2
    assert operators["LSTM"] == 0


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize(("precision", "most"), [("int8", 0.02), ("float32", 1e-6)])
def test_steppers_carry_their_state(tmp_path: Path, frames: int, precision: str, most: float) -> None:
    job = stack_job(tmp_path, SMALL, frames)

    bound, called = (stream(job, precision, how) for how in ("IOBinding", "run"))

    np.testing.assert_allclose(np.concatenate(bound)[:, 0], job.exact(), atol=most)
    for one, other in zip(bound, called, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("how", ["IOBinding", "run"])
@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_row_137_ids_go_to_onnxruntime_in_the_type_that_the_file_reads(
    tmp_path: Path, precision: str, how: str, kind: type
) -> None:
    ids: Array = np.random.default_rng(0).integers(0, 9, 24).astype(kind)
    job = file_job(tmp_path / "job", "ids", write_ids(tmp_path / "ids.onnx"), ids, 4)

    seen = np.concatenate([answer.reshape(1, -1) for answer in stream(job, precision, how)])

    assert np.abs(seen - job.exact().reshape(seen.shape)).max() < (1e-6 if precision == "float32" else 0.1)


def largest_code(path: Path) -> int:
    """Return the largest magnitude among a quantized file's codes of weights."""
    codes = [tensor for tensor in onnx.load(path).graph.initializer if tensor.name.endswith("_quantized")]
    return max(int(np.abs(numpy_helper.to_array(tensor).astype(np.int32)).max()) for tensor in codes)


@pytest.mark.parametrize(("saturate", "most"), [(True, 64), (False, 127)])
def test_weights_have_7_bits_if_products_saturate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, *, saturate: bool
) -> None:
    monkeypatch.setattr(onnxruntime, "products_saturate", lambda: saturate)
    stacks.save_model(stacks.random_layers(SMALL), tmp_path / "float.onnx")
    onnxruntime.quantize(tmp_path / "float.onnx", tmp_path / "int8.onnx")
    assert most - 1 <= largest_code(tmp_path / "int8.onnx") <= most


@pytest.mark.skipif("avx_vnni" not in _kernels.variants(supported_only=False), reason="no build that knows AVX-VNNI")
def test_products_saturate_with_avx2_and_without_vnni() -> None:
    variants = set(_kernels.variants())
    assert onnxruntime.products_saturate() == ("avx2" in variants and not any("vnni" in name for name in variants))


@pytest.mark.slow  # under an emulator
@pytest.mark.parametrize(("cpu", "saturate"), [(WITHOUT_VNNI, True), (WITHOUT_AVX2, False)])
def test_products_on_processors_that_are_shown(cpu: str, *, saturate: bool) -> None:
    code = "from tidegate.benchmarks.peers.onnxruntime import products_saturate as seen; print(seen())"
    assert run(*emulated_python(cpu), "-c", code) == f"{saturate}\n"


def test_an_lstm_left_in_float_is_refused(tmp_path: Path) -> None:
    """Weights that are no constants cannot be quantized; onnxruntime leaves such a node without a word."""
    model = stacks.streaming_model(stacks.random_layers(SMALL)[:1], frames=1, batch=1)
    kept = [tensor for tensor in model.graph.initializer if tensor.name != "w0"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.input.append(helper.make_tensor_value_info("w0", TensorProto.FLOAT, [1, 64, 8]))
    onnx.save(model, tmp_path / "float.onnx")

    with pytest.raises(CannotRunError, match="its quantizer left an LSTM in float"):
        onnxruntime.quantize(tmp_path / "float.onnx", tmp_path / "int8.onnx")


def test_a_graph_without_lstm_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    onnx.save(helper.make_model(helper.make_graph([node], "g", infos[:1], infos[1:])), tmp_path / "float.onnx")

    with pytest.raises(CannotRunError, match="no LSTM in the graph"):
        onnxruntime.quantize(tmp_path / "float.onnx", tmp_path / "int8.onnx")
