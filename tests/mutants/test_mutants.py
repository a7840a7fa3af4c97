"""Mutants are drawn by a seed, judged without touching the sources, and each that lives is answered for."""

import ast
import sys
from pathlib import Path

import pytest
from kernels.building import KERNELS, ROOT, require, run

if sys.platform != "linux":
    pytest.skip("a module is injected by Python's start files", allow_module_level=True)
pytest.importorskip("universalmutator", reason="universalmutator is not installed (make setup installs it)")

from mutants import campaign, reach, rows, runs
from mutants.choosing import Mutant, in_order, is_program
from mutants.engine import IN_PYTHON, Engine

TESTING = (ROOT / "docs" / "testing.md").read_text()


@pytest.mark.parametrize("language", ["c", "python"])
def test_ledger_has_each_mutant_once_and_each_that_lives_is_answered_for(language: str) -> None:
    """A mutant that lives is equivalent, and the ledger says why, or docs/testing.md names it."""
    entries = campaign.noted(language)
    assert len({entry["name"] for entry in entries}) == len(entries)
    left = [entry for entry in entries if not entry["killed by"] and not entry.get("equivalent")]
    assert [entry["name"] for entry in left if entry["name"] not in TESTING] == []


def test_figures_of_the_page_are_those_of_the_ledgers() -> None:
    for language in ("c", "python"):
        judged, killed = campaign.figures(language)
        assert f"{killed:,} of {judged:,} killed" in TESTING


def test_order_follows_from_the_seed_and_begins_with_another_line_each_time() -> None:
    files = ["runtime/kernels/src/late.c", "runtime/kernels/src/clocks.c"]
    first, second, other = (list(in_order(files, "c", seed)) for seed in (1, 1, 2))
    assert first == second != other
    lines = [(mutant.file, mutant.line) for mutant in first]
    assert len(set(lines[:50])) == 50
    assert not any("/*" in mutant.was or mutant.was.startswith("#") for mutant in first)


def test_a_mutant_that_is_no_program_is_left_out() -> None:
    file = "runtime/files.py"
    lines = (ROOT / file).read_text().splitlines()
    at = next(number for number, line in enumerate(lines, 1) if "flags |" in line)
    assert is_program(Mutant(file, at, lines[at - 1], lines[at - 1].replace("|", "&")))
    assert not is_program(Mutant(file, at, lines[at - 1], lines[at - 1].replace("flags", "flabs")))
    assert not is_program(Mutant(file, at, lines[at - 1], lines[at - 1].replace("(", "")))


def test_first_44_rows_and_more_were_taken_away_and_a_test_failed() -> None:
    """docs/failures.md has the rows; the ledger says which line was changed, what failed, when, and at which commit."""
    entries = rows.noted()
    assert set(range(1, 45)) <= {entry["row"] for entry in entries}
    assert [entry for entry in entries if not (entry["fails"] and entry["date"] and entry["commit"])] == []
    assert f"{len(entries)} of {len(entries)} | `python tests/mutants/rows.py`" in TESTING


@pytest.mark.parametrize("entry", rows.noted(), ids=lambda entry: f"{entry['row']}-{Path(entry['file']).stem}")
def test_each_row_names_one_line_of_a_source(entry: rows.Entry) -> None:
    mutant = rows.changed(entry)
    assert mutant.now != mutant.was
    if mutant.file.endswith(".py"):
        ast.parse(mutant.text())


def test_a_row_that_is_judged_again_gives_the_test_of_the_ledger() -> None:
    """Through the process that forks; without the change the same tests pass."""
    (entry,) = (entry for entry in rows.noted() if entry["file"] == "runtime/contract.py" and entry["row"] == 17)
    assert rows.judged(entry) == entry["fails"]
    assert not runs.run_tests(entry["test"], "", Path(entry["file"]), "-k", entry["words"])


def test_files_that_are_mutated_and_their_tests_are_there() -> None:
    assert all((ROOT / file).is_file() for file in (*reach.TESTS, *Engine.files))
    tests = [*IN_PYTHON, *(test for tests in reach.TESTS.values() for test in tests)]
    assert all((ROOT / "tests" / test).is_file() for test in tests)
    assert len(Engine.files) == len([*KERNELS.glob("src/*.c"), *KERNELS.glob("operators/*.c")])


def test_a_module_is_loaded_from_the_mutated_source_in_every_process(tmp_path: Path) -> None:
    source = tmp_path / "errors.py"
    source.write_text((ROOT / "runtime/errors.py").read_text() + "\nMUTATED = True\n")
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    seen = "from tidegate.runtime import errors; print(errors.MUTATED)"
    given = [f"PYTHONPATH={runs.INJECT}", "TIDEGATE_MUTANT=tidegate.runtime.errors", f"TIDEGATE_MUTANT_FILE={source}"]
    assert run(require("env"), *given, sys.executable, "-c", code, seen) == "True\n"
