"""onnxruntime's int8 LSTM: really int8, really streaming, close to float64."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import onnxruntime
from tidegate.benchmarks.peers.job import CannotRunError, Job, Variant

pytest.importorskip("onnxruntime")

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
