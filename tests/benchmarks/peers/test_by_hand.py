"""NumPy by hand: the equations of the cells, compared with ONNX's reference implementation in float64."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import by_hand, unrolled


@pytest.mark.parametrize("cell", unrolled.CELLS)
@pytest.mark.parametrize("steps", [1, 4])
def test_answers_are_the_exact_ones(tmp_path: Path, cell: str, steps: int) -> None:
    job = stack_job(tmp_path, stacks.Case("small", 3, 8, 2, cell), steps)
    step = by_hand.load(job, by_hand.VARIANTS[0])

    answers = np.concatenate([step(chunk).copy() for chunk in job.chunks()])

    np.testing.assert_allclose(answers, job.exact(), atol=1e-6)
