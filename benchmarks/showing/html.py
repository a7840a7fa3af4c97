"""Writes pages as one HTML file, with the pictures inside and without scripts."""

import html
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.files import write_atomic
from ..tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.15rem 0.6rem; text-align: right; border-bottom: 1px solid #ccc; }
th:first-child, td:first-child { text-align: left; }
caption { text-align: left; font-weight: 600; padding: 0.4rem 0; }
figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
.small { color: #444; font-size: 0.9rem; }
@media (prefers-color-scheme: dark) { body { background: #fff; } }
"""


def write_document(path: Path, title: str, parts: Iterable[str]) -> None:
    """Write a page.

    Args:
        path: The file to write.
        title: The page's title, as plain text.
        parts: The parts of the body, as HTML.
    """
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{escaped(title)}</title><style>{STYLE}</style>'
    write_atomic(path, f'<!doctype html>\n<html lang="en">{head}\n{body}\n</html>\n'.encode())


def table_html(table: Table) -> str:
    """Return a table as HTML, with its title above it."""
    head = "".join(f"<th>{escaped(column.removesuffix('|'))}</th>" for column in table.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return f"<table><caption>{escaped(table.title)}</caption><tr>{head}</tr>{rows}</table>"


def figure_html(figure: "Figure") -> str:
    """Return a picture as HTML, drawn as SVG."""
    file = io.StringIO()
    figure.savefig(file, format="svg")
    drawing = file.getvalue()
    return f"<figure>{drawing[drawing.index('<svg') :]}</figure>"


def escaped(text: str) -> str:
    """Return plain text escaped for HTML."""
    return html.escape(text)
