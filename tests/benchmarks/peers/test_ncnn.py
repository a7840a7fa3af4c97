"""ncnn: the two files of a net, byte by byte, as ncnn's format wants them."""

import struct
from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import ncnn
from tidegate.benchmarks.peers.job import Floats, Job

FLOAT, INT8 = ncnn.VARIANTS


def made(folder: Path, cell: str, layers: int = 2) -> Job:
    """Return a job with the files of both variants."""
    job = stack_job(folder, stacks.Case("small", 3, 4, layers, cell), 1)
    for variant in ncnn.VARIANTS:
        ncnn.prepare(job, variant)
    return job


@pytest.mark.parametrize(("cell", "states"), [("LSTM", 2), ("GRU", 1), ("RNN", 1)])
def test_the_description_counts_its_layers_and_blobs(tmp_path: Path, cell: str, states: int) -> None:
    param, _ = ncnn.files(made(tmp_path, cell), FLOAT)

    magic, counts, *lines = param.read_text().splitlines()

    outputs = [name for line in lines for name in _outputs(line.split())]
    assert magic == "7767517"
    assert counts == f"{len(lines)} {len(set(outputs))}"
    assert len(outputs) == len(set(outputs)) == 1 + 2 * (1 + 2 * states)


def _outputs(words: list[str]) -> list[str]:
    inputs, count = int(words[2]), int(words[3])
    return words[4 + inputs : 4 + inputs + count]


def test_float_weights_are_in_the_order_w_bias_r_with_gates_i_f_o_g(tmp_path: Path) -> None:
    job = made(tmp_path, "LSTM", 1)
    ((w, r, bias_w, bias_r),) = job.weights("LSTM")
    data = ncnn.files(job, FLOAT)[1].read_bytes()

    def ordered(rows: Floats) -> bytes:
        i, f, g, o = np.split(rows, 4)
        return struct.pack("<I", 0) + np.concatenate([i, f, o, g]).tobytes()

    assert data == ordered(w) + ordered(bias_w + bias_r) + ordered(r)


def test_a_gru_keeps_the_bias_of_h_in_the_candidate_apart(tmp_path: Path) -> None:
    job = made(tmp_path, "GRU", 1)
    ((w, r, bias_w, bias_r),) = job.weights("GRU")
    data = ncnn.files(job, FLOAT)[1].read_bytes()

    bias = np.frombuffer(data[4 + w.nbytes + 4 : len(data) - 4 - r.nbytes], np.float32)

    np.testing.assert_array_equal(bias[:8], (bias_w + bias_r)[:8])
    np.testing.assert_array_equal(bias[8:], np.concatenate([bias_w[8:], bias_r[8:]]))


def test_int8_codes_times_their_scales_are_the_weights(tmp_path: Path) -> None:
    job = made(tmp_path, "RNN", 1)
    ((w, r, _, _),) = job.weights("RNN")
    data = ncnn.files(job, INT8)[1].read_bytes()

    assert data[:4] == struct.pack("<I", ncnn.INT8)
    codes = np.frombuffer(data[4 : 4 + w.size], np.int8).reshape(w.shape)
    scales = np.frombuffer(data[-2 * 4 * len(w) : -4 * len(r)], np.float32)
    np.testing.assert_allclose(codes / scales[:, None], w, atol=0.51 * np.abs(w).max() / 127)
