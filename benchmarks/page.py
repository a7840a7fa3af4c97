"""Results as one HTML page, its pictures inside; and as PNG and SVG files."""

import html
import io
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from ..runtime.files import write_atomic
from .bench_tables import latency, refusals, resources
from .plots import pictures
from .results import Result, Row
from .tables import Table

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


def cases_of(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """Return rows by case and frames a chunk, in their order, each with a name such as `A, T = 16`."""
    groups = groupby(rows, key=lambda row: (row.case, row.steps))
    return [(f"{case}, T = {steps}", list(found)) for (case, steps), found in groups]


def write_page(result: Result, path: Path) -> None:
    """Write the page."""
    parts = [f"<h1>tidegate bench</h1><p>{_text(result.environment.summary())}</p>"]
    parts += [f"<p><strong>warning:</strong> {_text(warning)}</p>" for warning in result.warnings]
    for name, rows in cases_of(result.rows):
        parts.append(f"<h2>{_text(name)}</h2>")
        parts += _case(rows)
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>tidegate bench</title><style>{STYLE}</style>'
    text = f'<!doctype html>\n<html lang="en">{head}\n{body}\n</html>\n'
    write_atomic(path, text.encode())


def write_pictures(result: Result, folder: Path) -> list[Path]:
    """Write each picture as PNG and SVG, named after its case: `A-T1-medians.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for _, rows in cases_of(result.rows):
        stem = f"{''.join(c if c.isalnum() else '_' for c in rows[0].case)}-T{rows[0].steps}"
        for name, figure in pictures(rows).items():
            for ending in ("png", "svg"):
                path = folder / f"{stem}-{name}.{ending}"
                figure.savefig(path, dpi=150)
                written.append(path)
    return written


def _case(rows: Sequence[Row]) -> list[str]:
    parts = [_table(latency(rows)), _table(resources(rows))]
    parts += [f'<p class="small">{_text(line)}</p>' for line in refusals(rows)]
    for figure in pictures(rows).values():
        file = io.StringIO()
        figure.savefig(file, format="svg")
        drawing = file.getvalue()
        parts.append(f"<figure>{drawing[drawing.index('<svg') :]}</figure>")
    return parts


def _table(table: Table) -> str:
    head = "".join(f"<th>{_text(column.removesuffix('|'))}</th>" for column in table.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return f"<table><caption>{_text(table.title)}</caption><tr>{head}</tr>{rows}</table>"


def _text(text: str) -> str:
    return html.escape(text)
