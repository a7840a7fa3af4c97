"""PyTorch: the exact answers in float32, nearly so in int8, and layers that its int8 does not have."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import pytorch
from tidegate.benchmarks.peers.job import CannotRunError, Floats, Variant

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Restore the number of threads, which `load` sets to one."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def answers(folder: Path, cell: str, variant: Variant) -> tuple[Floats, Floats]:
    """Return the answers of a variant and the exact ones."""
    job = stack_job(folder, stacks.Case("small", 3, 8, 2, cell), 4)
    step = pytorch.load(job, variant)
    return np.concatenate([step(chunk)[:, 0] for chunk in job.chunks()]), job.exact().astype(np.float32)


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
def test_float_answers_are_the_exact_ones(tmp_path: Path, cell: str) -> None:
    found, exact = answers(tmp_path, cell, Variant("float32", "eager"))

    np.testing.assert_allclose(found, exact, atol=1e-6)


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_int8_really_rounds_and_stays_near(tmp_path: Path, cell: str) -> None:
    found, exact = answers(tmp_path, cell, Variant("int8", "quantize_dynamic"))

    assert 1e-5 < np.abs(found - exact).max() < 0.1


def test_a_cell_that_int8_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="quantize_dynamic left RNN in float: it knows LSTM and GRU"):
        answers(tmp_path, "RNN", Variant("int8", "quantize_dynamic"))
