"""The command `speed` on a tiny stack: the contenders, the output, and wrong options."""

import json
from pathlib import Path

import pytest
from tidegate.benchmarks import speed
from tidegate.benchmarks.measuring.records import Settings
from tidegate.benchmarks.measuring.results import Result
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.showing.speed_tables import GOALS, PRECISIONS, notes, tables
from tidegate.runtime._kernels import variants

TINY = stacks.Case("B", 4, 8, 2)
BRIEF = ("--seconds", "0.01", "--processes", "1")
QUICK = Settings(seconds=0.01, processes=1, turns=2)
ISA = tuple(dict.fromkeys(("scalar", variants()[0])))  # one on a processor that has no other


@pytest.fixture(scope="module")
def result() -> Result:
    """Return a result with the portable variant and the best one."""
    return speed.run([TINY], [1, 16], ISA, QUICK)


@pytest.mark.slow
def test_each_case_has_our_precisions_and_variants_and_both_calls_of_the_peer(result: Result) -> None:
    named = [(row.peer, row.precision, row.how) for row in result.rows]
    ours = [("tidegate", precision, f"push {isa}") for precision in ("W8A16", "W8A8", "W4A8") for isa in ISA]
    assert named == [*ours, ("onnxruntime", "int8", "IOBinding"), ("onnxruntime", "int8", "run")] * 2
    assert result.environment.isa == ISA


@pytest.mark.slow
def test_our_error_does_not_depend_on_the_variant(result: Result) -> None:
    """All variants of the engine give the same bits."""
    errors = {(row.precision, row.steps, row.how): row.error_rms for row in result.rows if row.peer == "tidegate"}

    for precision in PRECISIONS:
        for steps in (1, 16):
            assert len({errors[precision, steps, f"push {isa}"] for isa in ISA}) == 1


@pytest.mark.slow
def test_the_tables_have_a_row_per_case_and_name_the_machine(result: Result) -> None:
    times, ratios, *others, errors = tables(result)

    assert len(times.rows) == len(errors.rows) == 2
    assert len(ratios.rows) == 2 * 3 * len(ISA)
    assert [row[4:6] == ["-", "-"] for row in ratios.rows[:6]] == [not _has_goals(isa) for _ in range(3) for isa in ISA]
    assert [len(other.rows) for other in others] == [2 * 3] * (len(ISA) - 1)
    assert any(result.environment.processor in note for note in notes(result))
    assert any(note.startswith("Goal over `run` on B") for note in notes(result))


def _has_goals(isa: str) -> bool:
    """Tell whether case B has goals with a variant: only the best one of a machine has them, and plain C has none."""
    return isa == variants()[0] and isa in GOALS


@pytest.mark.slow
def test_the_command_prints_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stacks.CASES, "tiny", TINY)

    speed.main(["--cases", "tiny", "--steps", "1", *BRIEF, "--json", str(tmp_path / "speed.json")])

    printed = capsys.readouterr()
    assert "Microseconds per call" in printed.out
    assert printed.err == ""
    assert json.loads((tmp_path / "speed.json").read_text())["rows"][0]["steps"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "Z"], "no case Z; there are A, B, C, D"),
        (["--steps", "0"], "'0' is not a positive whole number"),
        (["--steps", "501"], "at most 500"),
        (["--processes", "many"], "'many' is not a positive whole number"),
    ],
)
def test_wrong_usage_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        speed.main(arguments)

    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_an_unknown_instruction_set_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stacks.CASES, "tiny", TINY)

    with pytest.raises(
        SystemExit, match=r"speed: error: tidegate W8A16 push sse9: .*instruction set 'sse9' is not in this build"
    ):
        speed.main(["--cases", "tiny", "--steps", "1", *BRIEF, "--isa", "sse9"])
