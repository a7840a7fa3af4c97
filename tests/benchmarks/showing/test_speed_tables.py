"""The tables of `speed`: one row per case, ratios by turns, and goals by words."""

from dataclasses import replace

import pytest
from tidegate.benchmarks.measuring.environment import observe
from tidegate.benchmarks.measuring.results import Result, Row
from tidegate.benchmarks.showing.speed_tables import PRECISIONS, notes, tables, to_markdown, verdict


def row(peer: str, precision: str, how: str, us: float) -> Row:
    """Return a row of case B whose turns all took the same."""
    return Row(
        peer, precision, how, "B", 1, "closed", p50_us=us, p999_us=2 * us, turns_us=(us, us), error_rms=1e-4, chunks=9
    )  # fmt: skip


def result(*isa: str, best: str = "avx512_vnni") -> Result:
    """Return a result: the first variant of the engine takes 4 us, the second 8, onnxruntime 12 and 20."""
    ours = [row("tidegate", p, f"push {name}", 4.0 * (n + 1)) for p in PRECISIONS for n, name in enumerate(isa)]
    theirs = [row("onnxruntime", "int8", "IOBinding", 12.0), row("onnxruntime", "int8", "run", 20.0)]
    return Result(replace(observe(isa, None), best=best), (*ours, *theirs), ("too busy",))


@pytest.mark.parametrize(
    ("ratio", "goals", "word"),
    [(1.0, (2.0, 3.0), "short"), (2.0, (2.0, 3.0), "reached"), (3.0, (2.0, 3.0), "stretch"), (9.0, None, "-")],
)
def test_goals_are_marked_by_words(ratio: float, goals: tuple[float, float] | None, word: str) -> None:
    assert verdict(ratio, goals) == word


def test_one_variant_has_three_tables() -> None:
    times, ratios, errors = tables(result("avx512_vnni"))

    assert times.columns == ["case|", "T", *PRECISIONS, "onnxruntime IOBinding", "onnxruntime run"]
    assert times.rows == [["B 100->256", "1", *["4.00 / 8.00"] * 3, "12.0 / 24.0", "20.0 / 40.0"]]
    assert ratios.rows[0] == ["B", "1", "W8A16", "3.00", "2.8", "3.3", "reached", "5.00"]
    assert ratios.rows[2][6] == "short"
    assert errors.rows[0][2:] == ["1.0e-04"] * 5


@pytest.mark.parametrize(
    ("isa", "best", "goals"),
    [
        ("avx2", "avx2", ["2.63", "2.9", "stretch"]),
        ("avx_vnni", "avx_vnni", ["2.8", "3.3", "reached"]),
        ("avx2", "avx512_vnni", ["-", "-", "-"]),
        ("neon", "neon", ["-", "-", "-"]),
        ("avx512_vnni", "", ["-", "-", "-"]),
    ],
)
def test_goals_are_those_of_the_best_variant_of_the_machine(isa: str, best: str, goals: list[str]) -> None:
    _, ratios, _ = tables(result(isa, best=best))

    assert ratios.rows[0][4:7] == goals


def test_several_variants_are_compared_with_the_first() -> None:
    _, _, variants, _ = tables(result("avx2", "scalar"))

    assert variants.title == "Time / time of avx2, median over turns"
    assert variants.rows[0] == ["B", "1", "W8A16 scalar", "2.00"]


def test_notes_name_the_machine_the_goal_and_warnings() -> None:
    text = list(notes(result("avx2")))

    assert "engine avx2" in text[0]
    assert "closed loop, 9 to 9 calls each" in text[1]
    assert text[2] == "Goal over `run` on B, T = 1: at least 2; lowest 5.00: reached."
    assert text[3] == "warning: too busy"
    assert "warning: too busy" in to_markdown(result("avx2"))
