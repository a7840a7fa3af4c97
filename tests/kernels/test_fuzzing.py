"""The fuzz targets run for a short time; docs/fuzzing.md lists the long runs."""

from pathlib import Path

import pytest
from fuzzing.fuzz import MOST_KEPT, TARGETS, build, corpus_of, fuzz, noted

EXECUTIONS = 100_000
LEDGER_EXECUTIONS = 10_000_000  # for each target


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The fuzz targets, built with libFuzzer and the sanitizers."""
    return build(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_fuzzed_plans_and_snapshots_are_refused_by_name_or_run_within_bounds(
    programs: dict[str, Path], target: str, tmp_path: Path
) -> None:
    done = fuzz(target, programs[target], tmp_path, EXECUTIONS, seed=1)
    print(f"{target}: {done.executions} executions in {done.seconds:.0f} s")
    assert not done.finding
    assert done.executions >= EXECUTIONS


@pytest.mark.parametrize("target", TARGETS)
def test_corpus_has_files_and_is_small(target: str) -> None:
    sizes = [path.stat().st_size for path in corpus_of(target).iterdir()]
    assert 0 < len(sizes) <= MOST_KEPT
    assert sum(sizes) < 500_000


@pytest.mark.parametrize("target", TARGETS)
def test_ledger_holds_millions_of_executions_without_a_finding(target: str) -> None:
    """All runs count together; a run with a finding does not count, and its line says how it was mended."""
    runs = [(executions, result) for name, executions, result in noted() if name == target]
    assert sum(executions for executions, result in runs if result == "no finding") >= LEDGER_EXECUTIONS
    assert all(result == "no finding" or result.startswith("a finding, mended: ") for _, result in runs)
