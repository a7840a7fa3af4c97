"""The stacks that are measured: their file is valid, and its answers are near the float64 ones."""

from pathlib import Path

import numpy as np
import onnx
import tidegate
from tidegate.benchmarks.nets import stacks

SMALL = stacks.Case("small", 3, 5, 2)


def test_the_published_cases_have_their_sizes() -> None:
    assert [str(case) for case in stacks.CASES.values()] == ["A 40->128", "B 100->256", "C 40->256 x3", "D 256->512 x2"]


def test_weights_are_the_same_for_a_seed_and_within_torchs_limit() -> None:
    first, again, other = (stacks.random_layers(SMALL, seed) for seed in (0, 0, 1))

    assert [layer.w.shape for layer in first] == [(20, 3), (20, 5)]
    assert np.array_equal(first[1].r, again[1].r)
    assert not np.array_equal(first[1].r, other[1].r)
    assert all(np.abs(layer.r).max() <= 5**-0.5 for layer in first)


def test_the_model_is_valid_onnx_with_a_contract() -> None:
    model = stacks.streaming_model(stacks.random_layers(SMALL), sample_rate=50)

    onnx.checker.check_model(model, full_check=True)
    assert stacks.contract(stacks.random_layers(SMALL), sample_rate=50).to_json() == model.metadata_props[0].value


def test_the_float_file_gives_the_exact_answers(tmp_path: Path) -> None:
    layers, frames = stacks.random_layers(SMALL), stacks.random_frames(SMALL, 50)
    stacks.save_model(layers, tmp_path / "m.onnx")

    stream = tidegate.load(tmp_path / "m.onnx", "onnxruntime").stream()
    answers = np.concatenate([stream.push(frames[:7]), stream.push(frames[7:])])

    np.testing.assert_allclose(answers, stacks.exact_answers(layers, frames), atol=1e-6)


def test_the_engine_runs_the_quantized_file(tmp_path: Path) -> None:
    layers, frames = stacks.random_layers(SMALL), stacks.random_frames(SMALL, 50)
    stacks.save_model(layers, tmp_path / "m.onnx")
    tidegate.quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")

    answers = tidegate.load(tmp_path / "m.int8.onnx").stream().push(frames)

    assert np.allclose(np.asarray(answers), stacks.exact_answers(layers, frames), atol=5e-3)


def test_exact_answers_are_the_lstm_equations() -> None:
    """The LSTM has one unit; the wanted answer of one step is computed by hand."""
    one = np.ones((4, 1), np.float32)
    layer = stacks.Layer(one, one, np.zeros(4, np.float32), np.zeros(4, np.float32))
    gate = 1 / (1 + np.exp(-2.0))

    answer = stacks.exact_answers([layer], np.array([[2.0]], np.float32))

    np.testing.assert_allclose(answer, [[gate * np.tanh(gate * np.tanh(2.0))]], rtol=1e-12)
