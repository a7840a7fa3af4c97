"""The speed command in a tiny configuration: what it measures, what it writes, what it refuses."""

import json
from pathlib import Path

import pytest
from tidegate.benchmarks import lstms, speed
from tidegate.benchmarks.speed_tables import notes, tables, to_markdown, verdict

pytest.importorskip("onnxruntime")

TINY = lstms.Case("B", 4, 8, 2)
FIELDS = {"peer", "precision", "how", "isa", "case", "steps", "loop", "calls", "p50_us", "p90_us", "p99_us", "p999_us",
          "max_us", "spread", "block_medians_us", "error_rms", "error_max"}  # fmt: skip


@pytest.fixture(scope="module")
def result() -> speed.Result:
    return speed.run(speed.Settings(cases=(TINY,), steps=(1, 16), isa=("scalar", None), calls=40))


def test_each_case_has_our_precisions_and_variants_and_both_ways_of_the_rival(result: speed.Result) -> None:
    assert len(result.rows) == 2 * 8
    first = result.rows[:8]
    assert [(row.peer, row.precision, row.how) for row in first] == [
        ("tidegate", "W8A16", "push"),
        ("tidegate", "W8A16", "push"),
        ("tidegate", "W8A8", "push"),
        ("tidegate", "W8A8", "push"),
        ("tidegate", "W4A8", "push"),
        ("tidegate", "W4A8", "push"),
        ("onnxruntime", "int8", "IOBinding"),
        ("onnxruntime", "int8", "run"),
    ]
    assert first[0].isa == "scalar"
    assert {row.calls for row in result.rows} == {40}


def test_every_row_carries_its_error(result: speed.Result) -> None:
    for row in result.rows:
        assert 0 < row.error_rms < (0.02 if row.precision != "W4A8" else 0.1)
        assert row.error_rms <= row.error_max


def test_our_error_does_not_depend_on_the_chunk_or_the_variant(result: speed.Result) -> None:
    """1000 and 992 frames of one stream: the same bits where both have them."""
    errors = {(row.steps, row.isa): row.error_max for row in result.rows if row.precision == "W8A16"}

    assert errors[1, "scalar"] == next(e for (steps, isa), e in errors.items() if steps == 1 and isa != "scalar")


def test_the_json_has_every_field(result: speed.Result) -> None:
    fields = json.loads(result.to_json())

    assert fields["version"] == 1
    assert fields["environment"]["processor"]
    assert fields["environment"]["isa"][0] == "scalar"
    assert all(set(row) == FIELDS for row in fields["rows"])


def test_the_tables_have_a_row_a_case_and_name_the_machine(result: speed.Result) -> None:
    times, ratios, variants, errors = tables(result)

    assert len(times.rows) == len(errors.rows) == 2
    assert len(ratios.rows) == 2 * 6
    assert ratios.rows[0][4:6] == ["2.8", "3.3"]
    assert len(variants.rows) == 2 * 3
    assert any(result.environment.processor in note for note in notes(result))
    assert any(note.startswith("Goal over `run` on B") for note in notes(result))


def test_markdown_has_the_tables(result: speed.Result) -> None:
    text = to_markdown(result)

    assert text.count("| case |") == 4
    assert "Times faster than onnxruntime int8, median over turns:" in text


@pytest.mark.parametrize(
    ("ratio", "goals", "word"),
    [(1.0, (2.0, 3.0), "short"), (2.0, (2.0, 3.0), "reached"), (3.0, (2.0, 3.0), "stretch"), (9.0, None, "-")],
)
def test_goals_are_marked_by_words(ratio: float, goals: tuple[float, float] | None, word: str) -> None:
    assert verdict(ratio, goals) == word


def test_the_command_prints_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(lstms.CASES, "tiny", TINY)

    speed.main(["--cases", "tiny", "--steps", "1", "--calls", "20", "--json", str(tmp_path / "speed.json")])

    printed = capsys.readouterr()
    assert "Microseconds a call" in printed.out
    assert printed.err == ""
    assert json.loads((tmp_path / "speed.json").read_text())["rows"][0]["steps"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "Z"], "no case Z; there are A, B, C, D"),
        (["--steps", "0"], "'0' is not a positive whole number"),
        (["--steps", "1001"], "at most 1000"),
        (["--calls", "many"], "'many' is not a positive whole number"),
    ],
)
def test_wrong_usage_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        speed.main(arguments)

    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_an_unknown_instruction_set_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lstms.CASES, "tiny", TINY)

    with pytest.raises(SystemExit, match="speed: error: instruction set 'sse9' is not in this build"):
        speed.main(["--cases", "tiny", "--isa", "sse9"])
