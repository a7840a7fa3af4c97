"""Pages: everything is escaped, and pictures are inside the file."""

import re
from pathlib import Path

import pytest
from tidegate.benchmarks.showing.html import escaped, figure_html, table_html, write_document
from tidegate.benchmarks.tables import Table


def test_names_in_a_table_are_text_and_no_html() -> None:
    text = table_html(Table("a <title>", ["name|", "us"], [["<script>", "1.0"]]))

    assert "<caption><span>a &lt;title&gt;</span></caption>" in text
    assert '<thead><tr><th scope="col">name</th><th scope="col">us</th></tr></thead>' in text
    assert '<th scope="row">&lt;script&gt;</th><td>1.0</td>' in text
    assert 'aria-label="a &lt;title&gt;" tabindex="0"' in text
    assert escaped("\"&'") == "&quot;&amp;&#x27;"


def test_a_page_is_one_file_without_scripts(tmp_path: Path) -> None:
    write_document(tmp_path / "p.html", "a & b", ["<p>first</p>", "<p>second</p>"])

    text = (tmp_path / "p.html").read_text()
    assert text.startswith("<!doctype html>")
    assert '<meta name="viewport" content="width=device-width' in text
    assert "<title>a &amp; b</title>" in text
    assert text.index("<p>first</p>") < text.index("<p>second</p>")
    assert "<script" not in text


def test_a_picture_has_text_a_name_a_caption_and_ids_of_its_own() -> None:
    """And not the XML declaration before it, which would be wrong inside HTML."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 3))
    figure.subplots().set(title="Medians <us>", xlabel="microseconds", ylabel="share")
    texts = [figure_html(figure, name, "Left is & better.") for name in ("a", "b", "a")]

    assert '<svg role="img" aria-label="Medians &lt;us&gt;; microseconds and share"' in texts[0]
    assert texts[0].endswith("</svg>\n</div><figcaption>Left is &amp; better.</figcaption></figure>")
    assert re.search(r"<text[^>]*>microseconds</text>", texts[0])
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in texts]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', texts[0])) <= ids[0]
    assert texts[0] == texts[2]
