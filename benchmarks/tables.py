"""Tables of results, shown in a terminal or written as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.console

NARROWEST, USUAL = 20, 80  # columns of a terminal


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: What the figures are, with their unit.
        columns: The headers. A column whose header ends in `|` is aligned left, any other right.
        rows: For each row, one text per column.
        whole: Whether the first column is never broken. If not, it becomes narrower when the terminal is narrow.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    whole: bool = False

    def to_rich(self) -> "rich.console.Group":
        """Return the table for a rich console, with the title above it."""
        from rich import box
        from rich.console import Group
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))  # narrow gaps: a terminal has 80 columns
        for place, column in enumerate(self.columns):
            whole = self.whole if place == 0 else not self.whole and _side(column) == "right"
            header = _header(column, [row[place] for row in self.rows])
            table.add_column(header, justify=_side(column), overflow="fold", no_wrap=whole)
        for row in self.rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        return Group(Text(printable(self.title)), table)

    def to_markdown(self) -> str:
        """Return the table as Markdown, with the title above it."""
        headers = [column.removesuffix("|") for column in self.columns]
        rules = ["---" if _side(column) == "left" else "---:" for column in self.columns]
        lines = [f"| {' | '.join(cells)} |" for cells in (headers, rules, *self.rows)]
        return "\n".join([f"{self.title}:", "", *lines])


def printable(text: str) -> str:
    """Return text without control characters, so that a name in a file cannot control the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def show(*parts: "Table | str") -> None:
    """Print tables and paragraphs on standard output."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if console.width < NARROWEST:  # as with COLUMNS=0, which would print nothing
        console.width = USUAL
    for part in parts:
        console.print(printable(part) if isinstance(part, str) else part.to_rich())


def micro(value: float) -> str:
    """Return microseconds with about three significant digits: 1.07, 16.3, 217, 1315."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _header(column: str, cells: Sequence[str]) -> str:
    """Return a header broken into lines, as narrow as its words and the cells below it allow."""
    text = column.removesuffix("|")
    return "\n".join(wrap(text, max((len(part) for part in (*text.split(), *cells)), default=1)))


def _side(column: str) -> "rich.console.JustifyMethod":
    return "left" if column.endswith("|") else "right"
