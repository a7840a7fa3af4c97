"""MNN: the arguments of its converter, here a simulated one, and files that the converter refuses."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import mnn
from tidegate.benchmarks.peers.job import CannotRunError, Job

FLOAT, INT8 = mnn.VARIANTS


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A small stack."""
    return stack_job(tmp_path, stacks.Case("small", 2, 2, 1), 1)


def convert(monkeypatch: pytest.MonkeyPatch, *, works: bool) -> list[list[str]]:
    """Simulate the converter; return the lists of arguments that it gets."""
    calls: list[list[str]] = []

    def mnnconvert(arguments: list[str]) -> None:
        calls.append(arguments)
        if works:
            Path(arguments[arguments.index("--MNNModel") + 1]).write_bytes(b"made")

    monkeypatch.setitem(sys.modules, "_tools", SimpleNamespace(mnnconvert=mnnconvert))
    return calls


def test_only_int8_weights_are_quantized(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = convert(monkeypatch, works=True)

    for variant in mnn.VARIANTS:
        mnn.prepare(job, variant)

    assert "--weightQuantBits" not in calls[0]
    assert calls[1][-2:] == ["--weightQuantBits", "8"]
    assert [call[call.index("--modelFile") + 1] for call in calls] == [str(job.model)] * 2
    assert [mnn.files(job, variant)[0].name for variant in mnn.VARIANTS] == ["mnn.float32.mnn", "mnn.int8-weights.mnn"]
    assert all(mnn.files(job, variant)[0].exists() for variant in mnn.VARIANTS)


def test_a_file_that_the_converter_refuses_cannot_run(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    convert(monkeypatch, works=False)

    with pytest.raises(CannotRunError, match="MNN's converter refuses the file"):
        mnn.prepare(job, FLOAT)
