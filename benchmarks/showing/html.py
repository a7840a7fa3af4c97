"""Writes pages as one HTML file, with the pictures inside and without scripts."""

import html
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.files import write_atomic
from ..tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("page.css")
IDS = re.compile(r'(\bid="|href="#|url\(#)')


def write_document(path: Path, title: str, parts: Iterable[str]) -> None:
    """Write a page.

    Args:
        path: The file to write.
        title: The page's title, as plain text.
        parts: The parts of the body, as HTML.
    """
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{STYLE.read_text()}</style>"
    )
    body = "\n".join(parts)
    page = f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{body}\n</main></body></html>\n'
    write_atomic(path, page.encode())


def table_html(table: Table) -> str:
    """Return a table as HTML, with its title above it; on a narrow page it scrolls by itself."""
    head = "".join(f'<th scope="col">{escaped(_said(column))}</th>' for column in table.columns)
    rows = "".join(_row(row) for row in table.rows)
    title = escaped(table.title)
    caption = f"<caption><span>{title}</span></caption>"
    inside = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll" role="region" aria-label="{title}" tabindex="0">{inside}</div>'


def _said(column: str) -> str:
    return column.removesuffix("|") or "what"


def _row(cells: Sequence[str]) -> str:
    first, *others = map(escaped, cells)
    return f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'


def figure_html(figure: "Figure", name: str, caption: str) -> str:
    """Return a picture as HTML, drawn as SVG with its text as text.

    Args:
        figure: The picture.
        name: A name that no other picture of the page has: its ids begin with it.
        caption: How to read the picture, as plain text.
    """
    import matplotlib as mpl

    file = io.StringIO()
    # Real text, which a page can search, copy and read out.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    drawing = file.getvalue()
    drawing = IDS.sub(rf"\g<1>{name}-", drawing[drawing.index("<svg") :])
    label = escaped(_described(figure))
    drawing = f'<svg role="img" aria-label="{label}"{drawing.removeprefix("<svg")}'
    region = f'<div class="scroll" role="region" aria-label="{escaped(caption)}" tabindex="0">{drawing}</div>'
    return f"<figure>{region}<figcaption>{escaped(caption)}</figcaption></figure>"


def _described(figure: "Figure") -> str:
    """Return what a picture has, for those who do not see it: titles, axes and names; the tables have the numbers."""
    said = [figure.get_suptitle()]
    for axes in figure.axes:
        ends = [text for text in (axes.get_xlabel(), axes.get_ylabel()) if text]
        names = axes.get_legend_handles_labels()[1]
        said += [axes.get_title(), " and ".join(ends), ", ".join(names)]
    return "; ".join(text for text in said if text)


def escaped(text: str) -> str:
    """Return plain text escaped for HTML."""
    return html.escape(text)
