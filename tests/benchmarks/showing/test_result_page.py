"""The page of a result and its picture files."""

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tidegate.benchmarks.measuring.environment import observe
from tidegate.benchmarks.measuring.results import Result, Row, histogram_of, percentiles, series
from tidegate.benchmarks.showing.result_page import cases_of, write_page, write_pictures
from tools.browsers import audit

pytest.importorskip("matplotlib")


def row(peer: str, scale: float, rate: float | None = 100.0) -> Row:
    """Return a row with random times; `scale` makes them longer."""
    times = (scale * np.random.default_rng(0).lognormal(10, 0.3, 500)).astype(np.int64)
    spread = percentiles(times)
    fields: dict[str, Any] = {
        "histogram": histogram_of(times),
        "series_us": series(times),
        "error_rms": 1e-4 * scale,
        "rate_hz": rate,
    }
    middle, fields = spread["p50_us"], fields | spread
    return Row(peer, "int8", "run", "A <b>", 1, "open", interval_us=(0.9 * middle, 1.1 * middle), **fields)


REFUSED = Row("mnn", "int8", "run", "A <b>", 1, "open", reasons={"row": "it cannot"})
RESULT = Result(observe((), None), (row("tidegate", 1), row("onnxruntime", 10), REFUSED), ("too <busy>",))


@pytest.mark.slow
def test_the_page_holds_every_case_and_escapes_names(tmp_path: Path) -> None:
    write_page(RESULT, tmp_path / "r.html")

    text = (tmp_path / "r.html").read_text()
    assert text.count("<svg") == 5
    assert "A &lt;b&gt;, T = 1" in text
    assert "<b>" not in text
    assert "too &lt;busy&gt;" in text
    assert "mnn int8 run: it cannot" in text
    assert "A &lt;b&gt;: tidegate int8 run takes " in text
    assert "Timed from when it is due, 100 times per second: 0 chunks in 0 processes on one core of" in text
    assert f"Command: <code>{html.escape(RESULT.environment.command)}" in text
    assert all(f"<dfn>{word}</dfn>" in text for word in ("call", "miss", "~", "empty step"))
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_the_page_is_wide_enough_and_accessible_on_phones_and_in_the_dark(tmp_path: Path) -> None:
    write_page(RESULT, tmp_path / "r.html")

    found = audit((tmp_path / "r.html").as_uri())

    assert [one["violations"] for one in found] == [[]] * 6
    assert all(one["over"] <= 0 for one in found)
    papers = {one["scheme"]: one["paper"] for one in found}
    assert papers == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}


@pytest.mark.slow
def test_pictures_come_as_png_and_svg(tmp_path: Path) -> None:
    written = write_pictures(RESULT, tmp_path / "p")

    assert len(written) == 10
    assert {path.suffix for path in written} == {".png", ".svg"}
    assert all(path.stat().st_size > 2000 for path in written)


def test_a_case_without_figures_has_no_pictures(tmp_path: Path) -> None:
    result = Result(observe((), None), (REFUSED,))

    assert write_pictures(result, tmp_path) == []
    write_page(result, tmp_path / "r.html")
    assert "it cannot" in (tmp_path / "r.html").read_text()


def test_rows_go_by_case() -> None:
    assert [(name, len(rows)) for name, rows in cases_of(RESULT.rows)] == [("A <b>, T = 1", 3)]
