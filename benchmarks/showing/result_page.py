"""Writes results as one HTML page with the pictures inside, and pictures as PNG and SVG files."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ..measuring.environment import Environment
from ..measuring.results import Result, Row
from ..tables import Table
from .bench_tables import WORDS, headline, latency, refusals, resources
from .html import escaped, figure_html, table_html, write_document
from .plots import CAPTIONS, pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def cases_of(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """Return groups of consecutive rows with the same case and chunk size, each with a name such as `A, T = 16`."""
    groups = groupby(rows, key=lambda row: (row.case, row.steps))
    return [(f"{case}, T = {steps}", list(found)) for (case, steps), found in groups]


def write_page(result: Result, path: Path) -> None:
    """Write the page of a result: for each case a sentence to quote, tables and pictures; then machine and words."""
    environment = result.environment
    parts = ["<h1>tidegate bench</h1>"]
    parts += [f"<p><strong>warning:</strong> {escaped(warning)}</p>" for warning in result.warnings]
    for number, (name, rows) in enumerate(cases_of(result.rows)):
        parts.append(f"<h2>{escaped(name)}</h2>")
        sentence = headline(rows, environment.engine())
        parts += [] if sentence is None else [f'<p class="lead">{escaped(sentence)}</p>']
        parts += _case(rows, f"case{number}")
    parts += _conditions(environment)
    write_document(path, "tidegate bench", parts)


def _conditions(environment: Environment) -> list[str]:
    words = "".join(f"<dt><dfn>{escaped(word)}</dfn></dt><dd>{escaped(text)}</dd>" for word, text in WORDS.items())
    command = f"<p>Command: <code>{escaped(environment.command)}</code></p>" if environment.command else ""
    return [f"<h2>Conditions</h2><p>{escaped(environment.summary())}</p>{command}", f"<h2>Words</h2><dl>{words}</dl>"]


def write_findings(path: Path, machine: str, tables: Iterable[Table], figures: Iterable["Figure"]) -> None:
    """Write the page of a suite whose result is tables.

    Args:
        path: The file to write.
        machine: A sentence that names the machine.
        tables: The tables.
        figures: The pictures.
    """
    parts = [f"<h1>tidegate bench</h1><p>{escaped(machine)}</p>", *map(table_html, tables)]
    parts += [figure_html(one, f"p{n}", "The tables have the numbers.") for n, one in enumerate(figures)]
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


def _case(rows: Sequence[Row], name: str) -> list[str]:
    parts = [table_html(table) for table in (latency(rows), *resources(rows))]
    parts += [f'<p class="small">{escaped(line)}</p>' for line in refusals(rows)]
    drawn = pictures(rows).items()
    return parts + [figure_html(figure, f"{name}-{picture}", CAPTIONS[picture]) for picture, figure in drawn]
