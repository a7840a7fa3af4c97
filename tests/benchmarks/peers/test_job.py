"""Jobs as files: read back as saved, chunks of the signal, weights of stacks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tidegate.benchmarks.peers.job import PLAN, SIGNAL, WEIGHTS, CannotRunError, Job, Stack

STACK = Stack("GRU", 3, 2, 1)


@pytest.mark.parametrize("stack", [STACK, None])
def test_a_job_is_read_back_as_saved(tmp_path: Path, stack: Stack | None) -> None:
    job = Job(tmp_path, "A", 4, stack, 12.5)

    job.save()

    assert Job.read(tmp_path / "job-4.json") == job


def test_chunks_are_whole_and_contiguous(tmp_path: Path) -> None:
    signal = np.arange(22, dtype=np.float32).reshape(11, 2)
    np.save(tmp_path / SIGNAL, signal)

    chunks = Job(tmp_path, "A", 4, None).chunks()

    assert [chunk.tolist() for chunk in chunks] == [signal[:4].tolist(), signal[4:8].tolist()]
    assert all(chunk.flags.c_contiguous for chunk in chunks)


def test_weights_are_those_of_each_layer_in_order(tmp_path: Path) -> None:
    names = ("w{}_ih", "w{}_hh", "b{}_ih", "b{}_hh")
    stored: dict[str, Any] = {name.format(n): np.full(2, 10 * n + k) for n in range(2) for k, name in enumerate(names)}
    np.savez(tmp_path / WEIGHTS, **stored)

    layers = Job(tmp_path, "A", 1, Stack("LSTM", 3, 2, 2)).weights("LSTM", "GRU")

    assert [[int(part[0]) for part in layer] for layer in layers] == [[0, 1, 2, 3], [10, 11, 12, 13]]


def test_what_an_adapter_does_not_build_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="this adapter builds LSTM and RNN only, the stack is GRU"):
        Job(tmp_path, "A", 1, STACK).weights("LSTM", "RNN")
    with pytest.raises(CannotRunError, match="stacks of recurrent layers only; it does not read ONNX files"):
        Job(tmp_path, "A", 1, None).weights("LSTM")


def test_a_plan_is_refused_to_other_peers(tmp_path: Path) -> None:
    job = Job(tmp_path, "A", 1, None)
    assert job.model == tmp_path / "float.onnx"
    (tmp_path / PLAN).write_bytes(b"")
    with pytest.raises(CannotRunError, match="only tidegate runs a compiled plan"):
        _ = job.model
