"""The page of results: its marks, its tables and its pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks import report
from tidegate.benchmarks.measuring.environment import observe
from tidegate.benchmarks.measuring.results import Result, Row, histogram_of, series
from tidegate.benchmarks.recall import Recall, save
from tidegate.benchmarks.suites.families import Cost
from tidegate.benchmarks.suites.streams_per_core import Capacity

MARKS = "<!-- a: made -->\n", "<!-- end of a -->\n"


def row(steps: int, precision: str, us: float | None, **fields: float) -> Row:
    """Return a row of case A; without a time it is a refused one."""
    reasons = {} if us else {"row": "it cannot"}
    interval = (us - 0.1, us + 0.1) if us else None
    return Row("x", precision, "run", "A", steps, "closed", p50_us=us, interval_us=interval, reasons=reasons, **fields)  # type: ignore[arg-type]


def test_a_part_of_the_page_is_replaced_and_the_rest_stays() -> None:
    page = f"before\n{MARKS[0]}old\n{MARKS[1]}after\n"

    assert report.between(page, MARKS, "new\n") == f"before\n{MARKS[0]}new\n{MARKS[1]}after\n"
    assert report.between("before\n", MARKS, "new\n") == f"before\n\n{MARKS[0]}new\n{MARKS[1]}"


def test_the_page_has_a_place_for_every_part() -> None:
    text = report.PAGE.read_text()

    for name in report.PARTS:
        assert text.count(f"<!-- {name}: made by `make bench` -->\n") == 1
        assert text.count(f"<!-- end of {name} -->\n") == 1


@pytest.mark.slow
def test_every_part_is_written_with_its_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures are given here; other tests are for the functions that measure them."""
    pytest.importorskip("matplotlib")
    times = np.arange(1000, 3000)
    fields = {
        "histogram": histogram_of(times),
        "series_us": series(times),
        "p99_us": 3.0,
        "p999_us": 3.0,
        "max_us": 3.0,
    }
    rows = [replace(row(1, "fast", 2.0, error_rms=1e-3), case="B", **fields), replace(row(1, "no", None), case="B")]  # type: ignore[arg-type]
    held = [Capacity("group", "B", 100.0, 7, 5.0, 9, {7: 5.0})]
    page = tmp_path / "page.md"
    page.write_text("head\n")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "PICTURES", tmp_path / "pictures")
    monkeypatch.setattr(report, "RECALL", tmp_path / "recall.json")
    monkeypatch.setattr(report, "bench", lambda *_, **__: Result(observe((), None), tuple(rows)))
    monkeypatch.setattr(report, "real_jobs", lambda _: [])
    monkeypatch.setattr("tidegate.benchmarks.suites.families.costs", lambda **_: [Cost("LSTM", 10, 10, 1.0, 5)])
    monkeypatch.setattr("tidegate.benchmarks.suites.streams_per_core.measure", lambda **_: held)
    save([Recall("LSTM", 10, 10, 0, 50, 400, 0.5, 1.0)], tmp_path / "recall.json")
    made = report.BenchmarksPage(tmp_path, 1.0, tmp_path, ["B"])

    for name in report.PARTS:
        made.measure(name, None)
        made.write(name)

    text = page.read_text()
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert pictures == {
        "B-T1-medians.svg",
        "B-T1-accuracy.svg",
        "B-T1-fastest.svg",
        "real-tail.svg",
        "families.svg",
        "recall.svg",
        "streams.svg",
    }
    assert all(f"(pictures/{name})" in text for name in pictures)
    assert all(path.stat().st_size < report.MOST_PICTURE for path in (tmp_path / "pictures").iterdir())
    assert text.count("Left out: x no run: it cannot.") == 2
    assert "| B, group | 7 |" in text
    page.write_text("head\n")
    for name in report.PARTS:  # without measuring, from the JSON files
        made.write(name)
    assert page.read_text() == text
    assert {path.name for path in tmp_path.glob("*.json")} == {f"{name}.json" for name in (*report.PARTS, "recall")}


def test_the_fastest_of_each_runtime_and_our_default_precision_are_shown() -> None:
    fast, slow = row(1, "int8", 2.0), row(1, "float32", 3.0)
    ours = [replace(row(1, precision, us), peer="tidegate") for precision, us in (("W4A8", 1.0), ("W8A16", 1.5))]

    assert report.fastest([slow, fast, *ours, row(1, "int4", None)]) == [ours[1], fast]
