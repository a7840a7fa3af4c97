"""oneDNN: the package that is missing, the order of gates and biases, and the range of its data."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import onednn
from tidegate.benchmarks.peers.job import SIGNAL, CannotRunError


def test_without_its_headers_it_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "HOME", tmp_path)
    job = stack_job(tmp_path / "job", stacks.Case("small", 2, 2, 1), 1)

    with pytest.raises(CannotRunError, match="onednn-devel-cpu-gomp is not installed; `make peers` installs the peers"):
        onednn.prepare(job, onednn.VARIANTS[0])


@pytest.mark.parametrize(
    ("cell", "gates", "biases"), [("LSTM", [0, 1, 2, 3], 4), ("GRU", [1, 0, 2], 4), ("RNN", [0], 1)]
)
def test_weights_are_written_in_the_primitives_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str, gates: list[int], biases: int
) -> None:
    """A GRU has one more bias, of h in the candidate."""
    monkeypatch.setattr(onednn, "HOME", tmp_path)
    for path in (tmp_path / "include" / "dnnl.hpp", onednn._library()):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    job = stack_job(tmp_path / "job", stacks.Case("small", 3, 2, 1, cell), 1)
    ((w, _, bias_w, bias_r),) = job.weights(cell)

    onednn.prepare(job, onednn.VARIANTS[0])

    written = np.fromfile(job.made(onednn.WEIGHTS), np.float32)
    np.testing.assert_array_equal(
        written[: w.size], np.concatenate([np.split(w, len(gates))[g] for g in gates]).ravel()
    )
    tail = written[-2 * biases :]
    if cell == "GRU":
        np.testing.assert_array_equal(tail[-4:], np.concatenate([bias_w[4:], bias_r[4:]]))
    else:
        np.testing.assert_array_equal(tail, bias_w + bias_r)


def test_the_library_is_made_again_when_its_source_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = onednn._library()
    (tmp_path / "changed.cpp").write_text("// changed")
    monkeypatch.setattr(onednn, "SOURCE", tmp_path / "changed.cpp")

    assert onednn._library() != before


@pytest.mark.parametrize(("largest", "scale"), [(4.0, 127 / 4), (0.1, 127.0)])
def test_u8_data_holds_the_signal_and_h(tmp_path: Path, largest: float, scale: float) -> None:
    """Values of h are between -1 and 1."""
    job = stack_job(tmp_path, stacks.Case("small", 2, 2, 1), 1)
    np.save(job.made(SIGNAL), np.array([[largest, 0], [-largest, 0]], np.float32))

    assert onednn._range(job) == pytest.approx((128.0, scale))
