"""The harness: a variant that runs has a row with figures, any other a row with the reason."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tidegate.benchmarks.measuring import harness
from tidegate.benchmarks.measuring.environment import observe
from tidegate.benchmarks.measuring.harness import adapter, installed, run_job, run_jobs
from tidegate.benchmarks.measuring.jobs import stack_job, stack_jobs
from tidegate.benchmarks.measuring.records import SHARED, Settings
from tidegate.benchmarks.measuring.regression import builds
from tidegate.benchmarks.measuring.results import Result, Row, counts_of
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import ADAPTERS
from tidegate.benchmarks.peers.job import Job, Variant
from tidegate.runtime.errors import BackendError

QUICK = Settings(seconds=0.02, processes=2, turns=2)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Return the job of a stack of two small LSTM layers, with four frames per chunk."""
    return stack_job(tmp_path_factory.mktemp("job"), stacks.Case("small", 3, 8, 2), 4)


@pytest.fixture(scope="module")
def rows(job: Job) -> dict[str, Row]:
    """Return the rows of tidegate and of NumPy by hand, by name."""
    return {row.name: row for row in run_job(job, ["tidegate", "by_hand"], QUICK)}


@pytest.mark.slow
def test_every_variant_has_a_row_with_figures(rows: dict[str, Row]) -> None:
    assert "by_hand float32 loop" in rows
    assert {row.precision for row in rows.values() if row.peer == "tidegate"} >= {"W8A16", "W4A8", "float32"}
    for row in rows.values():
        assert row.refusal is None
        assert row.p50_us is not None
        assert row.interval_us is not None
        assert row.interval_us[0] <= row.interval_us[1]
        assert row.confidence == 0.5
        assert sum(counts_of(row.histogram or "")[1]) == row.chunks
        assert len(row.turns_us) == 4


@pytest.mark.slow
def test_each_precision_has_its_error(rows: dict[str, Row]) -> None:
    errors = {row.precision: row.error_rms or 0.0 for row in rows.values()}

    assert errors["float32"] < 1e-6
    assert errors["float32"] < errors["W16A16"] < errors["W8A16"] < errors["W8A8"] < 0.1
    assert errors["W8A16"] < errors["W4A8"]


@pytest.mark.slow
def test_memory_and_start_are_those_of_a_process_for_one_variant(rows: dict[str, Row]) -> None:
    ours = rows["tidegate W8A16 push"]

    assert ours.peak_rss_bytes is not None
    assert ours.rss_bytes is not None
    assert 10e6 < ours.rss_bytes <= ours.peak_rss_bytes < 200e6
    assert 0 < (ours.load_ms or 0.0) < (ours.first_answer_ms or 0.0)
    assert ours.file_bytes is not None
    assert (rows["tidegate float32 push"].file_bytes or 0) > ours.file_bytes
    assert rows["by_hand float32 loop"].reasons["file_bytes"] == "it is built from weights in memory"


def test_a_process_runs_one_job_after_the_other(tmp_path: Path) -> None:
    """Only the first job has figures that count from the start of the process."""
    jobs = stack_jobs(tmp_path, stacks.Case("small", 3, 8, 2), [1, 4])

    rows = {row.steps: row for row in run_jobs(jobs, ["by_hand"], QUICK)}

    assert rows[1].peak_rss_bytes is not None
    assert (rows[4].peak_rss_bytes, rows[4].reasons["first_answer_ms"]) == (None, SHARED)
    assert rows[4].first_step_us is not None
    assert rows[1].error_rms == pytest.approx(rows[4].error_rms, rel=1e-3)


def test_an_open_loop_counts_misses(job: Job) -> None:
    """There is also a row for the machine without a runtime."""
    row, alone = run_job(job, ["by_hand"], Settings(rate=1e6, seconds=0.001, processes=1, turns=1))

    assert row.loop == alone.loop == "open"
    assert row.misses == row.chunks == 1000
    assert row.longest_misses == 1000
    assert (alone.name, alone.reasons["error_rms"]) == ("machine alone empty step", "it answers nothing")
    assert (alone.service_p50_us or 0.0) < (row.service_p50_us or 0.0)


def test_a_tail_that_few_chunks_do_not_show_is_absent(job: Job) -> None:
    (row,) = run_job(job, ["by_hand"], Settings(seconds=0.001, processes=1, turns=1))

    assert 10 <= row.chunks < 1000
    assert (row.p999_us, row.reasons["p999_us"]) == (None, f"{row.chunks} chunks, wanted 1000: run longer")


def test_two_builds_run_in_turns_on_the_same_files(job: Job) -> None:
    """Here both builds are the same one, so that their errors are equal."""
    only = {"tidegate": [Variant("W8A16", "push")]}

    rows = run_jobs([job], ["tidegate"], replace(QUICK, against=sys.executable), variants=only)

    assert [row.name for row in rows] == ["tidegate W8A16 push", "other build W8A16 push"]
    assert rows[0].error_rms == rows[1].error_rms
    (change,) = builds(Result(observe((), None), tuple(rows)))
    assert (change.before.p50_us, change.after.p50_us) == (rows[1].p50_us, rows[0].p50_us)


@pytest.mark.slow
def test_a_variant_that_cannot_run_gives_its_reason(tmp_path: Path) -> None:
    job = stack_job(tmp_path, stacks.Case("small", 3, 8, 1, "RNN"), 1)

    rows = {row.name: row for row in run_job(job, ["onnxruntime"], QUICK)}

    assert rows["onnxruntime int8 run"].p50_us is None
    assert rows["onnxruntime int8 run"].refusal == "no LSTM in the graph: its int8 has no other recurrent operator"
    assert rows["onnxruntime float32 run"].refusal is None


def test_a_peer_that_is_not_installed_gives_its_reason(
    job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEGATE_PEERS", str(tmp_path))

    (row,) = run_job(job, ["tract"], QUICK)

    assert row.refusal is not None
    assert "tract not installed" in row.refusal


def test_every_adapter_is_importable_without_its_package() -> None:
    for name in ADAPTERS:
        assert adapter(name).PACKAGES
        assert hasattr(adapter(name), "VARIANTS") or hasattr(adapter(name), "variants")
    assert "by_hand" in installed()
    with pytest.raises(BackendError, match="'abacus' is unknown"):
        adapter("abacus")


def test_children_of_a_process_end_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that keeps the output open would otherwise make `close` wait forever."""
    pause = "import signal; signal.pause()"
    starts = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {pause!r}]); print('on', flush=True)"
    monkeypatch.setattr(harness, "BOOT", f"{starts}; {pause}")
    process = harness.Process(sys.executable)
    assert process._stdout.readline() == "on\n"
    process.close()
    assert process.ended
