"""Writes the report of a quantization as one HTML page: its tables, and pictures that can be read without colour."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...quant.report.quantization_report import Histogram, QuantizationReport, WeightRow
from ..tables import Table
from .html import escaped, figure_html, table_html, write_document
from .plots import MARKERS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...quant.observing.drift import Drift


def write_quantization_page(report: QuantizationReport, parts: Iterable[Table | str], path: Path) -> None:
    """Write the page.

    Args:
        report: The report of the quantization.
        parts: The report's tables and sentences, as the terminal shows them.
        path: The file to write.
    """
    title = f"{Path(report.path).name}: quantized"
    said = [table_html(part) if isinstance(part, Table) else f"<p>{escaped(part)}</p>" for part in parts]
    drawn = [figure_html(figure, f"p{n}", caption) for n, (figure, caption) in enumerate(pictures(report))]
    write_document(path, title, [f"<h1>{escaped(title)}</h1>", *said, *drawn])


def pictures(report: QuantizationReport) -> Iterator[tuple["Figure", str]]:
    """Give the pictures of a report, each with how to read it: error over time, sensitivities, histograms."""
    found = report.calibration
    if found is not None and found.drift is not None:
        yield _over_time(found.drift), "A line that rises shows that the error grows with the stream."
    measured = [weight for weight in report.weights if weight.options]
    if measured:
        yield (
            _sensitivities(measured),
            "How much each weight alone adds to the output's error; left is better.",
        )
    for weight in report.weights:
        if weight.histograms:
            yield (
                _histograms(weight),
                "How often each code occurs, and how far rounding moved the values.",
            )


def _over_time(drift: "Drift") -> "Figure":
    figure = new_figure(8, 4)
    axes = figure.subplots()
    middles = [np.sqrt(span.first * span.last) for span in drift.curve]
    axes.plot(middles, [100 * span.error for span in drift.curve], "o-", color="0.2", label="root mean square")
    axes.plot(middles, [100 * span.largest for span in drift.curve], "^:", color="0.5", label="largest")
    if drift.repeated:
        axes.axvline(drift.repeated, color="0.6", linestyle="--")
        place, label = (drift.repeated, 0.03), "from here on the signal is repeated"
        axes.annotate(label, place, xycoords=("data", "axes fraction"), rotation=90, ha="right", fontsize="small")
    axes.set(xscale="log", yscale="log", title="Error of the output over time: does it drift?")
    axes.set(xlabel="step of the stream", ylabel="% of the output's root mean square")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def _sensitivities(weights: Sequence[WeightRow]) -> "Figure":
    """Draw the error of the output if only one weight is quantized, in its precision and in the others measured."""
    figure = new_figure(8, max(3.0, 0.45 * len(weights) + 1.6))
    axes = figure.subplots()
    names = [f"{weight.name}\n{weight.precision}" for weight in weights]
    chosen = [100 * (weight.sensitivity or 0.0) for weight in weights]
    # No bars: on a logarithmic axis they start anywhere.
    axes.plot(chosen, names, "o", mfc="0.3", mec="black", ms=9, linestyle="none", label="its precision")
    others = list(dict.fromkeys(option.precision for weight in weights for option in weight.options))
    for precision, marker in zip(others, MARKERS, strict=False):
        points = [(100 * o.error, n) for n, w in enumerate(weights) for o in w.options if o.precision == precision]
        x, y = zip(*points, strict=True)
        axes.plot(x, y, marker, mfc="white", mec="black", ms=6, linestyle="none", label=precision)
    axes.invert_yaxis()
    axes.set(xscale="log", title="Sensitivity, in the weight's precision and in others")
    axes.set_xlabel("error of the output in %, if only this weight is quantized")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure


def _histograms(weight: WeightRow) -> "Figure":
    """Draw the histograms of the codes and of the rounding errors, one row of panels per gate."""
    figure = new_figure(8, 1.5 + 1.1 * len(weight.histograms))
    rows = figure.subplots(len(weight.histograms), 2, squeeze=False, sharex="col")
    for (left, right), one in zip(rows, weight.histograms, strict=True):
        _bars(left, one.codes, one.largest, one)
        _bars(right, one.errors, one.most, one)
    rows[0][0].set_title("codes", fontsize="medium")
    rows[0][1].set_title("rounding errors, in steps of a code", fontsize="medium")
    figure.suptitle(f"{weight.name}, {weight.precision}, {weight.method}")
    return figure


def _bars(axes: "Axes", counts: Sequence[int], limit: float, one: Histogram) -> None:
    axes.stairs(counts, np.linspace(-limit, limit, len(counts) + 1), fill=True, color="0.6")
    axes.set_ylabel(one.gate or "all", rotation=0, labelpad=12)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=5)
