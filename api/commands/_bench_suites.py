"""The suites of `tidegate bench` whose result is tables and pictures in place of rows: families and streams."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidegate.commands._output import save_json, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from tidegate.benchmarks.measuring.environment import Environment
    from tidegate.benchmarks.progress import Progress
    from tidegate.benchmarks.tables import Table

SHORT_LAGS = (10, 30, 100)  # longer lags take minutes; `python -m tidegate.benchmarks.recall` has them


@dataclass(frozen=True)
class Findings:
    """The result of such a suite.

    Attributes:
        machine: The machine before the run.
        rows: The lists of figures in the JSON file, by name.
        tables: The tables to print.
        draw: Draws the pictures and returns them by name. It is only called if the pictures are wanted.
    """

    machine: "Environment"
    rows: Mapping[str, Sequence[Any]]
    tables: "Sequence[Table]"
    draw: "Callable[[], Mapping[str, Figure]]"

    def show(self, json_file: Path | None, page: Path | None, pictures: Path | None) -> None:
        """Print the tables and write the files that are given.

        Args:
            json_file: The JSON file for all figures.
            page: The HTML page.
            pictures: The folder for the pictures as PNG and SVG.
        """
        from tidegate.benchmarks.showing.result_page import save_pictures, write_findings

        show(iter([*self.tables, f"Machine: {self.machine.summary()}."]))
        if json_file is not None:
            rows = {name: [asdict(one) for one in found] for name, found in self.rows.items()}
            save_json(json_file, {"environment": self.machine.to_dict(), **rows})
        figures = {} if page is None and pictures is None else self.draw()
        if page is not None:
            write_findings(page, self.machine.summary(), self.tables, figures.values())
        if pictures is not None:
            save_pictures(figures, pictures)


def families(progress: "Progress | None") -> Findings:
    """Run the suite families, with only the short lags, which take about a minute."""
    from tidegate.benchmarks import recall
    from tidegate.benchmarks.measuring.environment import observe_engine
    from tidegate.benchmarks.measuring.turns import pinnable
    from tidegate.benchmarks.showing import plots
    from tidegate.benchmarks.suites import families

    machine = observe_engine(pinnable())
    costs = families.costs(progress=progress)
    recalls = recall.recalls(SHORT_LAGS, progress=progress)
    return Findings(
        machine,
        {"costs": costs, "recalls": recalls},
        [*families.cost_tables(costs), recall.table(recalls)],
        lambda: {"families": plots.positions(costs), "recall": plots.recalled(recalls)},
    )


def streams(seconds: float, progress: "Progress | None") -> Findings:
    """Run the suite streams; each number of streams must have no miss for `seconds`."""
    from tidegate.benchmarks.measuring.environment import observe_engine
    from tidegate.benchmarks.measuring.turns import pinnable
    from tidegate.benchmarks.showing import plots
    from tidegate.benchmarks.suites import streams_per_core

    machine = observe_engine(pinnable())
    held = streams_per_core.measure(seconds=seconds, progress=progress)

    def draw() -> "Mapping[str, Figure]":
        figure = plots.streams_held(held)
        return {} if figure is None else {"streams": figure}

    return Findings(machine, {"streams": held}, [streams_per_core.table(held)], draw)
