"""onnxruntime's int8 LSTM: really int8, really streaming, close to float64."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tidegate.benchmarks import lstms
from tidegate.benchmarks.rivals import onnxruntime_int8
from tidegate.runtime.errors import BackendError, ModelError

pytest.importorskip("onnxruntime")

SMALL = lstms.Case("small", 8, 16, 2)
LAYERS = lstms.random_layers(SMALL)


@pytest.mark.parametrize("per_channel", [False, True])
def test_every_lstm_becomes_dynamic_quantize_lstm(per_channel: bool) -> None:
    data = onnxruntime_int8.quantized(lstms.streaming_model(LAYERS, frames=1, batch=1), per_channel=per_channel)

    operators = Counter(node.op_type for node in onnx.load_model_from_string(data).graph.node)
    assert operators["DynamicQuantizeLSTM"] == 2
    assert operators["LSTM"] == 0


@pytest.mark.parametrize("how", ["IOBinding", "run"])
@pytest.mark.parametrize("frames", [1, 4])
def test_steppers_carry_their_state(how: str, frames: int) -> None:
    signal = lstms.random_frames(SMALL, 40)
    step = onnxruntime_int8.from_layers(LAYERS, frames)[how]

    answers = np.concatenate([step(chunk[:, None, :]).copy() for chunk in np.split(signal, 40 // frames)])

    np.testing.assert_allclose(answers[:, 0], lstms.exact_answers(LAYERS, signal), atol=0.02)


def test_both_ways_of_calling_give_the_same_bits() -> None:
    steps = onnxruntime_int8.from_layers(LAYERS, 1)
    chunks = lstms.random_frames(SMALL, 20)[:, None, None, :]

    for chunk in chunks:
        assert np.array_equal(steps["IOBinding"](chunk), steps["run"](chunk))


def test_an_lstm_left_in_float_is_refused() -> None:
    """Weights that are no constants cannot be quantized; onnxruntime leaves such a node without a word."""
    model = lstms.streaming_model(LAYERS[:1], frames=1, batch=1)
    kept = [tensor for tensor in model.graph.initializer if tensor.name != "w0"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.input.append(helper.make_tensor_value_info("w0", TensorProto.FLOAT, [1, 64, 8]))

    with pytest.raises(BackendError, match="made 0 DynamicQuantizeLSTM of 1 LSTM and left 1 in float"):
        onnxruntime_int8.quantized(model)


def test_a_graph_without_lstm_is_refused() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]

    with pytest.raises(ModelError, match="no LSTM in the graph"):
        onnxruntime_int8.quantized(helper.make_model(helper.make_graph([node], "g", infos[:1], infos[1:])))
