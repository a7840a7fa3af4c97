"""Pages: everything is escaped, and pictures are inside the file."""

from pathlib import Path

import pytest
from tidegate.benchmarks.showing.html import escaped, figure_html, table_html, write_document
from tidegate.benchmarks.tables import Table


def test_names_in_a_table_are_text_and_no_html() -> None:
    text = table_html(Table("a <title>", ["name|", "us"], [["<script>", "1.0"]]))

    assert "<caption>a &lt;title&gt;</caption>" in text
    assert "<th>name</th><th>us</th>" in text
    assert "<td>&lt;script&gt;</td><td>1.0</td>" in text
    assert escaped("\"&'") == "&quot;&amp;&#x27;"


def test_a_page_is_one_file_without_scripts(tmp_path: Path) -> None:
    write_document(tmp_path / "p.html", "a & b", ["<p>first</p>", "<p>second</p>"])

    text = (tmp_path / "p.html").read_text()
    assert text.startswith("<!doctype html>")
    assert "<title>a &amp; b</title>" in text
    assert text.index("<p>first</p>") < text.index("<p>second</p>")
    assert "<script" not in text


def test_a_picture_is_only_its_drawing() -> None:
    """The XML declaration before it would be wrong inside HTML."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    text = figure_html(Figure(figsize=(1, 1)))

    assert text.startswith("<figure><svg")
    assert text.rstrip().endswith("</svg>\n</figure>")
