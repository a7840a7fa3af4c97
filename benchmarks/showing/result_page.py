"""Writes results as one HTML page with the pictures inside, and pictures as PNG and SVG files."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ..measuring.results import Result, Row
from ..tables import Table
from .bench_tables import latency, refusals, resources
from .html import escaped, figure_html, table_html, write_document
from .plots import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def cases_of(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """Return groups of consecutive rows with the same case and chunk size, each with a name such as `A, T = 16`."""
    groups = groupby(rows, key=lambda row: (row.case, row.steps))
    return [(f"{case}, T = {steps}", list(found)) for (case, steps), found in groups]


def write_page(result: Result, path: Path) -> None:
    """Write the page of a result: for each case its tables, the variants without figures, and its pictures."""
    parts = [f"<h1>tidegate bench</h1><p>{escaped(result.environment.summary())}</p>"]
    parts += [f"<p><strong>warning:</strong> {escaped(warning)}</p>" for warning in result.warnings]
    for name, rows in cases_of(result.rows):
        parts.append(f"<h2>{escaped(name)}</h2>")
        parts += _case(rows)
    write_document(path, "tidegate bench", parts)


def write_findings(path: Path, machine: str, tables: Iterable[Table], figures: Iterable["Figure"]) -> None:
    """Write the page of a suite whose result is tables.

    Args:
        path: The file to write.
        machine: A sentence that names the machine.
        tables: The tables.
        figures: The pictures.
    """
    parts = [f"<h1>tidegate bench</h1><p>{escaped(machine)}</p>", *map(table_html, tables), *map(figure_html, figures)]
    write_document(path, "tidegate bench", parts)


def write_pictures(result: Result, folder: Path) -> list[Path]:
    """Write each picture of a result as PNG and SVG, named after its case, and return the files: `A-T1-medians.png`."""
    written: list[Path] = []
    for _, rows in cases_of(result.rows):
        stem = f"{''.join(c if c.isalnum() else '_' for c in rows[0].case)}-T{rows[0].steps}"
        written += save_pictures({f"{stem}-{name}": figure for name, figure in pictures(rows).items()}, folder)
    return written


def save_pictures(figures: Mapping[str, "Figure"], folder: Path) -> list[Path]:
    """Write pictures by name as PNG and SVG, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"{name}.{ending}" for name in figures for ending in ("png", "svg")]
    for path in written:
        figures[path.stem].savefig(path, dpi=150)
    return written


def _case(rows: Sequence[Row]) -> list[str]:
    parts = [table_html(table) for table in (latency(rows), *resources(rows))]
    parts += [f'<p class="small">{escaped(line)}</p>' for line in refusals(rows)]
    return parts + [figure_html(figure) for figure in pictures(rows).values()]
