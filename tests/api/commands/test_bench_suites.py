"""Suites whose result is tables: they are printed, saved as JSON and written as a page, and drawn only if wanted."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from tidegate.benchmarks.measuring.environment import observe
from tidegate.benchmarks.tables import Table
from tidegate.commands._bench_suites import Findings


@dataclass
class Figure:
    """A figure of a suite."""

    name: str
    us: float


def findings(drawn: list[str]) -> Findings:
    """Return a result whose pictures note that they were drawn."""

    def draw() -> dict[str, object]:
        from matplotlib.figure import Figure as Picture

        drawn.append("once")
        return {"costs": Picture()}

    table = Table("Costs", ["|", "us"], [["net", "2.00"]])
    return Findings(observe((), None), {"costs": [Figure("net", 2.0)]}, [table], draw)  # type: ignore[arg-type]


def test_tables_and_machine_are_printed_without_drawing(capsys: pytest.CaptureFixture[str]) -> None:
    drawn: list[str] = []

    findings(drawn).show(None, None, None)

    out = " ".join(capsys.readouterr().out.split())
    assert "Costs" in out
    assert "net 2.00" in out
    assert "Machine: " in out
    assert drawn == []


def test_every_file_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn: list[str] = []

    findings(drawn).show(tmp_path / "f.json", tmp_path / "f.html", tmp_path / "p")

    fields = json.loads((tmp_path / "f.json").read_text())
    assert fields["costs"] == [{"name": "net", "us": 2.0}]
    assert "processor" in fields["environment"]
    assert (tmp_path / "f.html").read_text().count("<svg") == 1
    assert {path.name for path in (tmp_path / "p").iterdir()} == {"costs.png", "costs.svg"}
    assert drawn == ["once"]
