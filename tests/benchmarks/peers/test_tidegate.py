"""tidegate as a peer: which variants a job has, and that each one streams."""

from pathlib import Path

import numpy as np
import pytest
import tidegate
from tidegate.benchmarks.measuring.jobs import file_job, stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import tidegate as peer
from tidegate.benchmarks.peers.job import Variant

SMALL = stacks.Case("small", 3, 8, 1)
MOST = dict(zip(peer.PRECISIONS, (0.01, 0.03, 0.1, 0.2, 1e-3, 1e-6), strict=True))  # the largest error of each


@pytest.mark.parametrize(("precision", "most"), list(MOST.items()))
def test_each_precision_streams_near_the_exact_answers(tmp_path: Path, precision: str, most: float) -> None:
    job = stack_job(tmp_path, SMALL, 4)
    variant = Variant(precision, "push scalar")
    peer.prepare(job, variant)
    step = peer.load(job, variant)

    answers = np.concatenate([np.array(step(chunk)) for chunk in job.chunks()])

    assert np.abs(answers - job.exact()).max() < most
    assert peer.files(job, variant)[0].exists()


def test_a_float_model_has_all_precisions(tmp_path: Path) -> None:
    variants = peer.variants(stack_job(tmp_path, SMALL, 4))

    assert [variant.precision for variant in variants] == list(peer.PRECISIONS)


def test_a_quantized_file_or_plan_runs_as_it_is(tmp_path: Path) -> None:
    stacks.save_model(stacks.random_layers(SMALL), tmp_path / "m.onnx")
    tidegate.quantize(tmp_path / "m.onnx", tmp_path / "q.onnx")
    tidegate.compile_model(tmp_path / "q.onnx", tmp_path / "q.tide")
    signal = stacks.random_frames(SMALL, 10)
    wanted = np.asarray(tidegate.load(tmp_path / "q.onnx").stream().push(signal))

    for name in ("q.onnx", "q.tide"):
        job = file_job(tmp_path / f"job {name}", name, tmp_path / name, signal, 5)
        (variant,) = peer.variants(job)
        peer.prepare(job, variant)
        step = peer.load(job, variant)
        assert variant.precision == "as given"
        assert np.array_equal(np.concatenate([np.array(step(chunk)) for chunk in job.chunks()]), wanted)
