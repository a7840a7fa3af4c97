"""Jobs: the files in their folder, the float values of quantized weights, the rate of a contract."""

from pathlib import Path

import numpy as np
import pytest
import tidegate
from tidegate.benchmarks.measuring.jobs import FRAMES, file_job, stack_job, stack_jobs
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers.job import CONTRACT, EXACT, GIVEN, INEXACT, CannotRunError
from tidegate.benchmarks.peers.tidegate import variants
from tidegate.runtime.contract import Contract
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.lowering.lower import QUANTIZATION_KEY

SMALL = stacks.Case("small", 3, 5, 2)
SIGNAL = stacks.random_frames(SMALL, 20)


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """An int8 file with 50 frames per second."""
    stacks.save_model(stacks.random_layers(SMALL), tmp_path / "m.onnx", sample_rate=50)
    tidegate.quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    return tmp_path / "m.int8.onnx"


def test_a_stack_has_weights_and_the_exact_answers_to_its_signal(tmp_path: Path) -> None:
    layers = stacks.random_layers(SMALL)

    job = stack_job(tmp_path / "job", SMALL, 4)

    assert len(job.chunks()) == FRAMES // 4
    np.testing.assert_allclose(job.exact(), stacks.exact_answers(layers, np.concatenate(job.chunks())), atol=1e-14)
    np.testing.assert_array_equal(job.weights("LSTM")[1][1], layers[1].r)
    assert job.rate == 0


def test_jobs_of_a_stack_share_their_files(tmp_path: Path) -> None:
    jobs = stack_jobs(tmp_path / "job", SMALL, [1, 16])

    assert [job.steps for job in jobs] == [1, 16]
    assert {job.folder for job in jobs} == {tmp_path / "job"}
    assert len({job.path for job in jobs}) == 2


def test_other_peers_get_the_float_values_of_quantized_weights(tmp_path: Path, quantized: Path) -> None:
    """The exact answers are those of the rounded weights, and the given file is kept for tidegate."""
    job = file_job(tmp_path / "job", "m", quantized, SIGNAL, 5)

    assert {node.op_type for node in Graph.load(job.model).model.graph.node} == {"LSTM", "Squeeze"}
    assert job.made(GIVEN).exists()
    assert job.rate == 10
    answers = tidegate.load(quantized).stream().push(SIGNAL)
    np.testing.assert_allclose(np.asarray(answers), job.exact(), atol=1e-3)
    assert Contract.from_json(job.made(CONTRACT).read_text()) == Graph.load(quantized).contract


def test_a_file_with_codes_of_its_maker_is_kept_too(tmp_path: Path, quantized: Path) -> None:
    """Such a file has no record of a quantization, and nothing in it is left to quantize."""
    graph = Graph.load(quantized)
    graph.drop_metadata(QUANTIZATION_KEY)
    graph.save(tmp_path / "codes.onnx")
    job = file_job(tmp_path / "job", "m", tmp_path / "codes.onnx", SIGNAL, 5)
    assert [variant.precision for variant in variants(job)] == ["as given"]


def test_a_plan_has_no_model_and_no_exact_answers(tmp_path: Path, quantized: Path) -> None:
    tidegate.compile_model(quantized, tmp_path / "m.tide")

    job = file_job(tmp_path / "job", "m", tmp_path / "m.tide", SIGNAL, 1)

    with pytest.raises(CannotRunError, match="only tidegate runs a compiled plan; give the ONNX file to compare"):
        _ = job.model
    assert not job.made(EXACT).exists()
    assert job.made(INEXACT).read_text() == "a compiled plan holds no float model to run in float64"
    assert job.rate == 50


def test_a_last_shorter_chunk_of_the_signal_is_left_out(tmp_path: Path, quantized: Path) -> None:
    job = file_job(tmp_path / "job", "m", quantized, SIGNAL, 6)

    assert [len(chunk) for chunk in job.chunks()] == [6, 6, 6]
    assert len(job.exact()) == 18


def test_a_signal_shorter_than_two_chunks_is_refused(tmp_path: Path, quantized: Path) -> None:
    with pytest.raises(ChunkError, match="signal has 20 frames, wanted at least two chunks of 11 frames"):
        file_job(tmp_path / "job", "m", quantized, SIGNAL, 11)
