"""LiteRT: its file for each chunk size and precision, and chunks that it does not unroll."""

from pathlib import Path

import pytest
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import litert
from tidegate.benchmarks.peers.job import CannotRunError


def test_each_chunk_size_and_precision_has_its_file(tmp_path: Path) -> None:
    jobs = [stack_job(tmp_path, stacks.Case("small", 2, 2, 1), steps) for steps in (1, 4)]

    names = [litert.files(job, variant)[0].name for job in jobs for variant in litert.VARIANTS]

    assert names == [
        "litert.1.float32.tflite",
        "litert.1.int8.tflite",
        "litert.4.float32.tflite",
        "litert.4.int8.tflite",
    ]


def test_a_long_chunk_is_refused_before_the_converter_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES"):  # prepare sets both
        monkeypatch.setenv(name, "")
    job = stack_job(tmp_path, stacks.Case("long", 2, 2, 3), 22)

    with pytest.raises(CannotRunError, match="22 frames times 3 layers is more than 64 cells"):
        litert.prepare(job, litert.VARIANTS[0])
