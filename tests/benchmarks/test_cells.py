"""The layers whose steps are timed beside their bounds."""

import numpy as np
import pytest
from tidegate.benchmarks.bounds import Row, cells_table
from tidegate.benchmarks.cells import CASES, SIZES, CellCase, plan_of
from tidegate.runtime.native import NativeModel


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
    rows = [Row(name, 16, 1, push, push, push, 0.5, 0.5, 1.0) for name, push in times.items()]
    table = cells_table(rows)
    assert [row[-1] for row in table.rows] == ["1.00", "1.10", "1.00", "0.80"]
    assert [row[-2] for row in table.rows] == ["3.00", "3.30", "1.50", "1.20"]
