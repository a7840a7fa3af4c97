"""The equations of the cells, through NumPy by hand, against ONNX's reference implementation in float64."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import by_hand, executorch, unrolled
from tidegate.benchmarks.peers.job import CannotRunError, Job


@pytest.mark.parametrize("cell", unrolled.CELLS)
@pytest.mark.parametrize("steps", [1, 4])
def test_steps_written_out_are_the_cell(tmp_path: Path, cell: str, steps: int) -> None:
    job = stack_job(tmp_path, stacks.Case("small", 3, 8, 2, cell), steps)
    step = by_hand.load(job, by_hand.VARIANTS[0])

    answers = np.concatenate([step(chunk).copy() for chunk in job.chunks()])

    np.testing.assert_allclose(answers, job.exact(), atol=1e-6)


def long_job(folder: Path, layers: int, steps: int) -> Job:
    """A job of a stack whose chunks are long."""
    return stack_job(folder, stacks.Case("long", 2, 2, layers), steps)


def test_an_unrolled_graph_has_an_end(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="33 frames times 2 layers is more than 64 cells to unroll"):
        unrolled.refuse_long(long_job(tmp_path, 2, 33))


@pytest.mark.parametrize(("layers", "steps", "frames"), [(1, 1, 1), (1, 16, 4), (3, 16, 1), (2, 5, 1), (2, 4, 2)])
def test_a_program_of_executorch_holds_a_few_frames(tmp_path: Path, layers: int, steps: int, frames: int) -> None:
    job = long_job(tmp_path, layers, steps)

    (path,) = executorch.files(job, executorch.VARIANTS[0])

    assert path.name == f"executorch.{frames}.float32.pte"
