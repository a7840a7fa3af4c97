"""ExecuTorch: the frames of a program, and what it cannot build."""

from pathlib import Path

import pytest
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import executorch
from tidegate.benchmarks.peers.job import CannotRunError, Job


@pytest.mark.parametrize(("layers", "steps", "frames"), [(1, 1, 1), (1, 16, 4), (3, 16, 1), (2, 5, 1), (2, 4, 2)])
def test_a_program_holds_a_few_frames(tmp_path: Path, layers: int, steps: int, frames: int) -> None:
    job = stack_job(tmp_path, stacks.Case("long", 2, 2, layers), steps)

    (path,) = executorch.files(job, executorch.VARIANTS[0])

    assert path.name == f"executorch.{frames}.float32.pte"


def test_a_program_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    """Without its package this would be an ImportError."""
    job = stack_job(tmp_path, stacks.Case("small", 2, 2, 1), 1)
    executorch.files(job, executorch.VARIANTS[0])[0].write_bytes(b"made")

    executorch.prepare(job, executorch.VARIANTS[0])


def test_a_whole_net_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="stacks of recurrent layers only"):
        executorch.files(Job(tmp_path, "net", 1, None), executorch.VARIANTS[0])
