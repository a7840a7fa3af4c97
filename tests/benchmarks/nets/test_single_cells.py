"""Single layers of each cell: they stream, and the tables compare them with their bounds and with the LSTM."""

import numpy as np
import pytest
from tidegate.benchmarks.bounds import cells_table, streams_line
from tidegate.benchmarks.measuring.engine_times import Row
from tidegate.benchmarks.nets.single_cells import CASES, SIZES, CellCase, plan_of
from tidegate.runtime.backends.native import NativeModel


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_layer_streams_and_stays_within_bounds(case: CellCase) -> None:
    features, hidden = SIZES[case.size]
    stream = NativeModel(plan_of(case)).stream()
    frames = np.random.default_rng(0).normal(0, 1, (300, features)).astype(np.float32)
    answer = np.asarray(stream.push(frames))
    assert answer.shape == (300, hidden)
    assert 0 < np.abs(answer).max() < 100


def test_multiply_adds_count_the_gates() -> None:
    assert {case.name: case.macs for case in CASES if case.size == "A"} == {
        "LSTM A": 4 * 128 * 168,
        "GRU A": 3 * 128 * 168,
        "RNN tanh A": 128 * 168,
        "RNN relu A": 128 * 168,
    }


def test_each_ratio_is_set_against_the_lstm_of_its_size_and_length() -> None:
    times = {"LSTM A": 3.0, "GRU A": 3.3, "LSTM B": 1.5, "GRU B": 1.2}
    rows = [Row(name, 16, 1, push, push, push, 0.5, 0.5, 1.0, "vpdpbusd") for name, push in times.items()]
    table = cells_table(rows)
    assert [row[-1] for row in table.rows] == ["1.00", "1.10", "1.00", "0.80"]
    assert [row[-2] for row in table.rows] == ["3.00", "3.30", "1.50", "1.20"]


def test_line_of_a_group_says_what_each_stream_costs() -> None:
    """8 streams of A take 8 us. 86,016 multiply-adds take 0.344 us at 4 us per million; with 16 bits twice that."""
    times = {"group_ns": 8000.0, "alone_ns": 12000.0, "million_macs_ns": 4000.0, "planes": 2}
    line = ["A", "W8A16", "8", "1.00", "1.50", "0.69", "1.45", "reached", "1.50", "-"]
    assert streams_line("A", 16, 8, times, "avx512_vnni") == line
    assert streams_line("A", 8, 8, times, "avx512_vnni")[5:] == ["0.34", "2.91", "short", "1.50", "stretch"]
