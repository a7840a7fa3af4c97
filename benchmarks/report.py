"""Makes the tables and pictures of docs/benchmarks.md: `python -m tidegate.benchmarks.report`.

Each part of the page is a suite of `tidegate bench`. Its figures are kept as JSON in a folder, and its text is between
two marks in the page. So one part can be made again without the others, and the text can be written again without
measuring.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.errors import TidegateError
from ..runtime.files import write_atomic
from . import recall
from .bench import CELLS, bench, cell_jobs
from .measuring.environment import Environment, observe_engine
from .measuring.records import Settings
from .measuring.results import Result, Row, doubtful
from .measuring.turns import pinnable
from .peers import ADAPTERS
from .peers.tidegate import PRECISIONS
from .progress import Progress, bar
from .showing.bench_tables import by_case, latency, refusals, resources
from .showing.plots import drawn, positions, recalled, streams_held
from .showing.result_page import cases_of
from .suites import families, streams_per_core
from .suites.families import Cost
from .suites.real_models import real_jobs
from .suites.streams_per_core import Capacity
from .tasks.task import DEFAULT_DATA

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURES = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "pictures"
RECALL = ROOT / "docs" / "recall.json"
PARTS = ("cells", "real", "families", "streams")
STEPS = (1, 4, 16)
SHOWN = ("B", 1)  # the case and the frames per chunk that have pictures
MOST_PICTURE = 120_000  # bytes


class BenchmarksPage:
    """Makes parts of the page: `measure` writes a part's figures as JSON, `write` makes its text from them.

    Args:
        folder: The folder of the JSON files.
        budget: Factor for the length of every measurement; 1 is the usual length.
        data: The folder of weights and recordings for the suite `real`.
        cases: The cases of the suite `cells`.
    """

    def __init__(self, folder: Path, budget: float, data: Path, cases: Sequence[str]) -> None:
        self._folder, self._budget, self._data, self._cases = folder, budget, data, cases

    def measure(self, name: str, progress: Progress | None) -> None:
        """Measure a part and write its figures as JSON."""
        if name == "cells":
            settings = Settings(seconds=0.05 * self._budget, processes=3)
            jobs = cell_jobs([CELLS[case] for case in self._cases], STEPS)
            bench(jobs, ADAPTERS, settings, progress=progress).save(self._file(name))
        elif name == "real":
            settings = Settings(seconds=1.8 * self._budget, processes=3, turns=3)
            bench(list(real_jobs(self._data)), ADAPTERS, settings, progress=progress).save(self._file(name))
        else:
            environment, rows = observe_engine(pinnable()), self._measured(name, progress)
            fields = {"environment": environment.to_dict(), "rows": [asdict(row) for row in rows]}
            write_atomic(self._file(name), json.dumps(fields, indent=1).encode() + b"\n")

    def _measured(self, name: str, progress: Progress | None) -> Sequence[Cost] | Sequence[Capacity]:
        if name == "families":
            return families.costs(repeats=2 if self._budget >= 1 else 1, progress=progress)
        return streams_per_core.measure(seconds=60 * self._budget, progress=progress)

    def write(self, name: str) -> None:
        """Write a part's text into the page.

        Raises:
            FileNotFoundError: The part was never measured.
            ModelError: The part's JSON file was not written by `measure`.
        """
        text = "\n\n".join(self._text(name))
        marks = f"<!-- {name}: made by `make bench` -->\n", f"<!-- end of {name} -->\n"
        write_atomic(PAGE, between(PAGE.read_text(), marks, text + "\n").encode())

    def _text(self, name: str) -> Iterator[str]:
        if name in ("cells", "real"):
            result = Result.read(self._file(name))
            return _cells(result) if name == "cells" else _real(result)
        fields = json.loads(self._file(name).read_text())
        machine = f"Machine: {Environment(**fields['environment']).summary()}."
        return _families(machine, fields["rows"]) if name == "families" else _streams(machine, fields["rows"])

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _cells(result: Result) -> Iterator[str]:
    yield _heading(result)
    for case in dict.fromkeys(row.case for row in result.rows):
        yield from _case_text([row for row in result.rows if row.case == case])
    case, steps = SHOWN
    shown = [row for row in result.rows if (row.case, row.steps) == SHOWN]
    for name, words in (("medians", "Medians"), ("accuracy", "Speed and accuracy")):
        yield _picture(f"{case}-T{steps}-{name}", f"{words}, {CELLS[case]}", drawn(shown, name))
    yield _picture(
        f"{case}-T{steps}-fastest", f"The fastest of each runtime, {CELLS[case]}", drawn(fastest(shown), "medians")
    )


def fastest(rows: Sequence[Row]) -> list[Row]:
    """Return the fastest row of each runtime, and tidegate's row of its default precision; for the README."""
    best: dict[str, Row] = {}
    for row in sorted((row for row in rows if row.p50_us is not None), key=lambda row: row.p50_us or 0.0):
        if row.peer != "tidegate" or row.precision == PRECISIONS[0]:
            best.setdefault(row.peer, row)
    return list(best.values())


def _real(result: Result) -> Iterator[str]:
    yield _heading(result)
    for _, rows in cases_of(result.rows):
        yield from (table.to_markdown() for table in (latency(rows), *resources(rows)))
        yield from _reasons(rows)
    first = [row for row in result.rows if row.case == result.rows[0].case]
    yield _picture("real-tail", f"Tail, {first[0].case}, open loop", drawn(first, "tail"))


def _families(machine: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    found = [Cost(**row) for row in rows]
    yield machine
    yield from (table.to_markdown() for table in families.cost_tables(found))
    yield _picture("families", "What a step takes and keeps, by position", positions(found))
    if RECALL.exists():
        known = recall.read(RECALL)
        yield recall.table(known).to_markdown()
        yield _picture("recall", "What nets recall after a lag", recalled(known))


def _streams(machine: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    found = [Capacity.read(row) for row in rows]
    yield machine
    yield streams_per_core.table(found).to_markdown()
    yield _picture("streams", "Streams on one core", streams_held(found))


def between(text: str, marks: tuple[str, str], made: str) -> str:
    """Return a text with the part between two marks replaced. If the marks are absent, they are added at the end."""
    first, last = marks
    if first not in text:
        return f"{text}\n{first}{made}{last}"
    start, end = text.index(first) + len(first), text.index(last)
    return text[:start] + made + text[end:]


def _heading(result: Result) -> str:
    lines = [f"Machine: {result.environment.summary()}."]
    shaky = [row for row in result.rows if doubtful(row)]
    measured = [row for row in result.rows if row.p50_us is not None]
    if shaky:
        lines.append(
            f"{len(shaky)} of {len(measured)} figures are unstable, marked ~: the medians of their turns differ by "
            "more than 10 %, because another program ran on this machine or on its host."
        )
    return " ".join([*lines, *result.environment.warnings()])


def _case_text(rows: Sequence[Row]) -> Iterator[str]:
    yield by_case(rows, CELLS).to_markdown()
    yield from _reasons(rows)


def _reasons(rows: Sequence[Row]) -> Iterator[str]:
    left_out = list(dict.fromkeys(refusals(rows)))
    if left_out:
        yield f"Left out: {'; '.join(left_out)}."


def _picture(name: str, words: str, figure: "Figure | None") -> str:
    """Write a picture into the page's folder of pictures and return the Markdown line that shows it."""
    if figure is None:
        return f"({words}: no figures.)"
    from matplotlib import rc_context

    path = PICTURES / f"{name}.svg"
    path.parent.mkdir(exist_ok=True)
    with rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": name}
    ):  # text stays text, which makes the file a third as large
        figure.savefig(path, metadata={"Date": None})
    if path.stat().st_size > MOST_PICTURE:
        path.unlink()
        path = path.with_suffix(".png")
        figure.savefig(path, dpi=100)
    return f"![{words}](pictures/{path.name})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m tidegate.benchmarks.report",
        description="Measure the suites and write the tables and pictures of docs/benchmarks.md.",
        epilog="example: python -m tidegate.benchmarks.report --parts families --budget 0.1",
    )
    parser.add_argument(
        "--parts", default=",".join(PARTS), metavar="NAMES", help="suites, separated by commas (default: %(default)s)"
    )
    parser.add_argument(
        "--budget", type=float, default=1.0, metavar="FACTOR", help="length of all measurements (default: %(default)s)"
    )
    parser.add_argument(
        "--cases", default=",".join(CELLS), metavar="NAMES", help="cases of the suite cells (default: all)"
    )
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "bench", help="folder of the JSON files (default: build/bench)"
    )
    parser.add_argument("--written", action="store_true", help="write the page from the JSON files without measuring")
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, metavar="FOLDER", help="weights and recordings for the suite real"
    )
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    report = BenchmarksPage(options.folder, options.budget, options.data, options.cases.split(","))
    try:
        for name in options.parts.split(","):
            if name not in PARTS:
                parser.error(f"no part {name!r}; there are {', '.join(PARTS)}")
            if not options.written:
                with bar(name) as progress:
                    report.measure(name, progress)
            report.write(name)
            sys.stderr.write(f"{name}: written\n")
    except (TidegateError, OSError) as error:
        sys.exit(f"report: error: {error}")


if __name__ == "__main__":
    main()
