"""Pictures of results that can be read without colour: contenders differ in marker, line style and label."""

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, cast

import numpy as np

from ..measuring.results import Row, counts_of
from ..tables import micro
from .bench_tables import fastest_first

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..recall import Recall
    from ..suites.families import Cost
    from ..suites.streams_per_core import Capacity

MOST = 8  # contenders in a picture with lines: only the fastest
STYLES = ("-", "--", "-.", ":")
MARKERS = "osD^vPX*"
CAPTIONS = {
    "medians": "The median of each contender, and the lowest and highest of its processes; further left is better.",
    "tail": "For each share of chunks, the time that they did not exceed; low and flat is better.",
    "histogram": "How often each time occurred; both axes are logarithmic.",
    "time": "The longest time in each part of the run: a stall shows as a peak at its place.",
    "accuracy": "Each contender by its median time and its error; further left and lower is better.",
}
# Where a number may stand, in points (1/72 inch) from its place; the first if there is room.
SIDES = ((9, 9), (12, 0), (-12, 0), (0, 12), (0, -12), (-9, -9), (9, -9), (-9, 9))
TAIL = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)


def pictures(rows: Sequence[Row]) -> dict[str, "Figure"]:
    """Return the pictures of rows with the same case and chunk size, by name; none if no row has figures."""
    measured = fastest_first(rows)
    if not measured:
        return {}
    draw: dict[str, Callable[[Axes, Sequence[Row]], None]] = {
        "medians": _medians,
        "tail": _tail,
        "histogram": _histogram,
        "time": _time,
        "accuracy": _accuracy,
    }
    shown = dict.fromkeys(("medians", "accuracy"), measured)
    return {name: _figure(shown.get(name, measured[:MOST]), one) for name, one in draw.items()}


def drawn(rows: Sequence[Row], name: str) -> "Figure | None":
    """Return one picture of `pictures` by its name; None if no row has figures."""
    return pictures(rows).get(name)


def positions(costs: "Sequence[Cost]") -> "Figure":
    """Return the picture of the suite `families`: time of a step and bytes kept, against the position."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    times, kept = figure.subplots(1, 2)
    for name, style, marker in zip(dict.fromkeys(cost.name for cost in costs), cycle(STYLES), cycle(MARKERS)):
        mine = [cost for cost in costs if cost.name == name]
        places = [cost.position for cost in mine]
        times.plot(places, [cost.step_us for cost in mine], style, marker=marker, label=name)
        kept.plot(places, [cost.kept_bytes / 1e3 for cost in mine], style, marker=marker)
    times.set(xscale="log", yscale="log", title="A step", xlabel="position in the stream", ylabel="microseconds")
    kept.set(xscale="log", yscale="log", title="Kept from step to step", xlabel="position in the stream")
    kept.set_ylabel("kilobytes")
    times.legend(fontsize="small")
    for axes in (times, kept):
        axes.grid(alpha=0.3)
    return figure


def recalled(found: "Sequence[Recall]") -> "Figure":
    """Return the picture of `recall`: the accuracy against the lag, as the mean over the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, style, marker in zip(dict.fromkeys(one.name for one in found), cycle(STYLES), cycle(MARKERS)):
        lags = sorted({one.lag for one in found if one.name == name})
        means = [np.mean([one.accuracy for one in found if (one.name, one.lag) == (name, lag)]) for lag in lags]
        axes.plot(lags, 100 * np.array(means), style, marker=marker, label=name)
    axes.set(xscale="log", ylim=(0, 105), title="First symbol recalled after a lag", xlabel="frames", ylabel="percent")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def streams_held(found: "Sequence[Capacity]") -> "Figure | None":
    """Return the picture of the suite `streams`: the streams of each contender, one panel per rate.

    None if the machine without a runtime missed at each rate.
    """
    contenders = [held for held in found if held.case]
    if not contenders:
        return None
    rates = sorted({held.rate_hz for held in contenders})
    most = max(sum(held.rate_hz == rate for held in contenders) for rate in rates)
    figure = new_figure(5 * len(rates) + 1, 0.35 * most + 1.2)
    for panel, rate in zip(figure.subplots(1, len(rates), squeeze=False)[0], rates, strict=True):
        mine = [held for held in contenders if held.rate_hz == rate]
        names, counts = [f"{held.case}, {held.name}" for held in mine], [held.streams for held in mine]
        ours = [held.name.startswith("tidegate") for held in mine]
        _points(panel, names, counts, ours)
        _numbers(panel, [max(count, 1) for count in counts], [f"{count:,}" for count in counts])
        span = f"{contenders[0].seconds:g} s"
        panel.set(title=f"{rate:g} frames per second each", xlabel=f"streams without a miss in {span}")
        panel.set_xlim(1, 10 * max(*counts, 1))  # with room for the numbers; none at all has only its number
        panel.label_outer()
    return figure


def _points(axes: "Axes", names: Sequence[str], values: Sequence[float], ours: Sequence[bool]) -> None:
    """Draw points on a log scale, the first at the top; tidegate's are dark. A bar on such a scale starts anywhere."""
    for name, value, mine in zip(names, values, ours, strict=True):
        axes.plot([value or np.nan], [name], "o", ms=8, mfc="0.3" if mine else "white", mec="black")
    axes.set_xscale("log")
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="x", which="minor", labelbottom=False)  # they would overlap; the points have numbers
    axes.margins(x=0.15)
    axes.grid(axis="x", alpha=0.3)


def _numbers(axes: "Axes", ends: Sequence[float], texts: Sequence[str]) -> None:
    """Write a number beside each point."""
    for place, (end, text) in enumerate(zip(ends, texts, strict=True)):
        axes.annotate(text, (end, place), (6, 0), textcoords="offset points", va="center")


def _figure(rows: Sequence[Row], draw: Callable[["Axes", Sequence[Row]], None]) -> "Figure":
    figure = new_figure(8, max(3.6, 0.3 * len(rows) + 1.2))
    draw(figure.subplots(), rows)
    return figure


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure; width and height are in inches."""
    from matplotlib.figure import Figure  # not pyplot, which has global state

    return Figure(figsize=(width, height), layout="constrained")


def _medians(axes: "Axes", rows: Sequence[Row]) -> None:
    names, medians = [row.name for row in rows], np.array([row.p50_us for row in rows])
    intervals = np.array([row.interval_us or (row.p50_us, row.p50_us) for row in rows])
    low, high = np.clip(medians - intervals[:, 0], 0, None), np.clip(intervals[:, 1] - medians, 0, None)
    axes.errorbar(medians, names, xerr=[low, high], fmt="none", ecolor="black", capsize=3)
    _points(axes, names, medians.tolist(), [row.peer == "tidegate" for row in rows])
    _numbers(axes, np.maximum(medians, intervals[:, 1]).tolist(), [micro(median) for median in medians])
    axes.set(title="Median, with the interval of its processes", xlabel="microseconds per chunk")


def _tail(axes: "Axes", rows: Sequence[Row]) -> None:
    """Draw the time against the share of chunks that did not exceed it, on a scale of 0.9, 0.99 and so on."""
    for row, style, marker in zip(rows, cycle(STYLES), cycle(MARKERS)):
        times, counts = counts_of(row.histogram or "")
        share = np.cumsum(counts) / np.sum(counts)
        slower = np.clip(1 - np.concatenate([[0.0], share[:-1]]), 1 / np.sum(counts), 1)
        axes.plot(1 / slower, times, style, marker=marker, markevery=0.12, ms=5, label=row.name, drawstyle="steps-pre")
    axes.set(
        xscale="log",
        yscale="log",
        title="Tail: time that a share of chunks did not exceed",
        ylabel="microseconds per chunk",
    )
    ends = axes.get_xlim()[1]
    shown = [share for share in TAIL if 1 / (1 - share) <= ends]
    axes.set_xticks(
        [1 / (1 - share) for share in shown], [f"{share:.5g}".removeprefix("0") for share in shown], minor=False
    )
    axes.set_xticks([], minor=True)
    axes.set_xlabel("share not exceeded: .5, .9, .99 and so on")
    axes.grid(alpha=0.3)
    _legend(axes)


def _histogram(axes: "Axes", rows: Sequence[Row]) -> None:
    for row, style in zip(rows, cycle(STYLES)):
        times, counts = counts_of(row.histogram or "")
        edges = np.geomspace(min(times) * 0.95, max(times) * 1.05, 80)
        heights, _ = np.histogram(times, edges, weights=counts)
        axes.stairs(heights / heights.sum(), edges, label=row.name, linestyle=style)
    axes.set(xscale="log", yscale="log", title="Histogram", xlabel="microseconds per chunk", ylabel="share of chunks")
    axes.grid(alpha=0.3)
    _legend(axes)


def _time(axes: "Axes", rows: Sequence[Row]) -> None:
    """Draw the longest time of each part of the run, and mark the parts with a miss."""
    limit = None if rows[0].rate_hz is None else 1e6 / rows[0].rate_hz
    for row, style in zip(rows, cycle(STYLES)):
        places, times = np.linspace(0, 100, len(row.series_us)), np.array(row.series_us)
        axes.plot(places, times, style, lw=0.9, label=row.name)
        if limit is not None and (late := times > limit).any():
            axes.plot(places[late], times[late], "kx", ms=7, label="_missed")
    if limit is not None:
        axes.axhline(limit, color="black", lw=1.2)
        axes.annotate("the next chunk is due: x marks a miss", (1, limit), va="bottom", fontsize="small")
    axes.set(yscale="log", title="Over the run: the longest time of each part", xlabel="percent of the run")
    axes.set_ylabel("microseconds per chunk")
    axes.grid(alpha=0.3)
    _legend(axes)


def _accuracy(axes: "Axes", rows: Sequence[Row]) -> None:
    axes.set(xscale="log", yscale="log", title="Speed and accuracy: left and low is better")
    axes.set(xlabel="median microseconds per chunk", ylabel="RMS difference from float64")
    axes.margins(0.08)  # or the number of the last point lies on the edge
    shown = [(row, row.p50_us or 0.0, row.error_rms) for row in rows if row.error_rms]
    for number, ((row, x, y), marker) in enumerate(zip(shown, cycle(MARKERS)), 1):
        colour = "0.3" if row.peer == "tidegate" else "white"
        axes.plot([x], [y], marker, ms=8, mfc=colour, mec="black", label=f"{number} {row.name}")
    axes.tick_params(axis="x", which="minor", labelbottom=False)  # they would overlap
    axes.grid(alpha=0.3)
    _legend(axes)
    _number(axes, [(x, y) for _, x, y in shown])


def _number(axes: "Axes", points: Sequence[tuple[float, float]]) -> None:
    """Write a number beside each point, on the side that is farthest from other points and numbers."""
    figure = cast("Figure", axes.get_figure(root=True))
    figure.draw_without_rendering()  # before it the points have no places
    inches = figure.dpi_scale_trans.inverted()
    taken = [inches.transform(place) * 72 for place in axes.transData.transform(points)]
    for number, (point, place) in enumerate(zip(points, tuple(taken), strict=True), 1):
        room = [min(np.hypot(*(place + side - other)) for other in taken) for side in SIDES]
        side = SIDES[int(np.argmax(np.round(room)))]
        taken.append(place + side)
        axes.annotate(str(number), point, side, textcoords="offset points", ha="center", va="center")


def _legend(axes: "Axes") -> None:
    """Put the names beside the picture, where they cover nothing."""
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.02, 0.5))
