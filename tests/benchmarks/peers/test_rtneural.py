"""RTNeural: without its source it says what is missing; with it its answers are the stack's."""

import os
from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import rtneural
from tidegate.benchmarks.peers.job import CannotRunError, Variant


def test_without_its_source_it_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(rtneural.HOME_VARIABLE, raising=False)
    job = stack_job(tmp_path / "job", stacks.Case("small", 2, 4, 1), 1)
    with pytest.raises(CannotRunError, match=r"TIDEGATE_RTNEURAL names no folder with .*; give RTNeural's source"):
        rtneural.prepare(job, rtneural.VARIANTS[0])


def test_other_cells_are_refused(tmp_path: Path) -> None:
    job = stack_job(tmp_path / "job", stacks.Case("small", 2, 4, 1, "RNN"), 1)
    with pytest.raises(CannotRunError, match="builds LSTM and GRU only, the stack is RNN"):
        rtneural.prepare(job, rtneural.VARIANTS[0])


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get(rtneural.HOME_VARIABLE), reason="TIDEGATE_RTNEURAL names no source of RTNeural")
@pytest.mark.parametrize("variant", rtneural.VARIANTS, ids=lambda variant: variant.how)
@pytest.mark.parametrize("cell", rtneural.LAYERS)
def test_answers_are_those_of_the_stack(tmp_path: Path, cell: str, variant: Variant) -> None:
    job = stack_job(tmp_path / "job", stacks.Case("small", 3, 20, 2, cell), 4)
    rtneural.prepare(job, variant)
    step = rtneural.load(job, variant)
    answers = np.concatenate([step(chunk).copy() for chunk in job.chunks()])
    np.testing.assert_allclose(answers, job.exact()[: len(answers)], atol=2e-6)
