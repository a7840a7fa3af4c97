"""Pictures: which contenders they show, in which order, with which numbers."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks.measuring.results import Row, histogram_of, series
from tidegate.benchmarks.recall import Recall
from tidegate.benchmarks.showing import plots
from tidegate.benchmarks.showing.plots import MOST, drawn, pictures, positions, recalled, streams_held
from tidegate.benchmarks.suites.families import Cost
from tidegate.benchmarks.suites.streams_per_core import ALONE, Capacity

pytest.importorskip("matplotlib")

TIMES = np.arange(1000, 3000)
ROW = Row(
    "onnxruntime", "int8", "run", "A", 1, "closed", p50_us=2.0, interval_us=(1.9, 2.1),
    histogram=histogram_of(TIMES), series_us=series(TIMES), error_rms=1e-3,
)  # fmt: skip


def test_medians_show_all_and_lines_only_the_fastest() -> None:
    rows = [replace(ROW, how=f"run {n:02d}", p50_us=float(n)) for n in range(12, 0, -1)]

    found = pictures(rows)

    labels = [label.get_text() for label in found["medians"].axes[0].get_yticklabels()]
    assert labels == [f"onnxruntime int8 run {n:02d}" for n in range(1, 13)]
    legend = found["tail"].axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == labels[:MOST]


def test_numbers_of_close_points_do_not_cover_each_other() -> None:
    rows = [replace(ROW, how=f"run {n}", p50_us=20 * 1.03**n, error_rms=2e-8 * (1 + n % 3 / 4)) for n in range(5)]
    far = replace(ROW, p50_us=200.0, error_rms=1e-2)

    figure = pictures([*rows, far])["accuracy"]

    numbers = [(text.get_text(), text.get_window_extent()) for text in figure.axes[0].texts]
    assert [number for number, _ in numbers] == [str(n) for n in range(1, 7)]
    assert [(a, b) for (a, one), (b, other) in combinations(numbers, 2) if one.overlaps(other)] == []


def test_rows_without_figures_have_no_picture() -> None:
    refused = Row("mnn", "int8", "run", "A", 1, "open", reasons={"row": "it cannot"})

    assert pictures([refused]) == {}
    assert drawn([refused], "medians") is None


def test_streams_are_drawn_by_rate_if_the_machine_keeps_the_rate() -> None:
    alone = [Capacity(ALONE, "", rate, count, 60.0, 1, {1: 60.0 * count}) for rate, count in ((100.0, 1), (1000.0, 0))]
    found = [Capacity(name, "A", 100.0, count, 60.0, 99, {}) for name, count in (("tidegate", 90), ("other", 0))]

    figure = streams_held([*alone, *found])

    assert streams_held(alone) is None
    assert figure is not None
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["A, tidegate", "A, other"]
    assert [text.get_text() for text in panel.texts] == ["90", "0"]


def test_no_picture_has_bars() -> None:
    """Their axes are logarithmic: a bar starts anywhere there, and its length says nothing."""
    sources = Path(plots.__file__).parent.glob("*.py")
    assert [path.name for path in sources if ".bar(" in path.read_text() or ".barh(" in path.read_text()] == []


def test_each_net_is_a_line_over_positions_and_lags() -> None:
    costs = [Cost(name, 10, at, at * 0.1, at) for name in ("LSTM", "Transformer") for at in (10, 100)]
    found = [
        Recall(name, 10, lag, seed, 50, 400, seed, 1.0)
        for name in ("LSTM", "Transformer")
        for lag in (10, 100)
        for seed in (0, 1)
    ]

    for figure in (positions(costs), recalled(found)):
        lines = figure.axes[0].get_lines()
        assert [line.get_label() for line in lines] == ["LSTM", "Transformer"]
        assert np.asarray(lines[0].get_xdata()).tolist() == [10, 100]
    assert np.asarray(recalled(found).axes[0].get_lines()[0].get_ydata()).tolist() == [50, 50]
