"""The signal of tidegate's own making: its levels, its ids, and its length."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.quant.answers.own_signal import FEWEST_FRAMES, LEVELS, MOST_FRAMES, own_signal, reads_ids
from tidegate.runtime.graph.graph import Graph
from tools.nets import ROWS, Net
from tools.onnx_files import write_lstm


def test_noise_has_the_level_in_its_name_in_every_feature(tmp_path: Path) -> None:
    signal = own_signal(Graph.load(write_lstm(tmp_path / "m.onnx")))
    assert list(signal) == ["noise of 1", "noise of 0.1", "noise of 0.01", "noise of 0.001"]
    for level, frames in zip(LEVELS, signal.values(), strict=True):
        assert frames.shape == (MOST_FRAMES, 6)
        assert frames.dtype == np.float32
        np.testing.assert_allclose(np.sqrt(np.mean(frames.astype(np.float64) ** 2, 0)), level, rtol=0.2)
        np.testing.assert_allclose(frames / level, signal["noise of 1"], rtol=1e-6)


def test_noise_changes_slowly(tmp_path: Path) -> None:
    noise = own_signal(Graph.load(write_lstm(tmp_path / "m.onnx")))["noise of 1"][:, 0]
    assert np.corrcoef(noise[1:], noise[:-1])[0, 1] == pytest.approx(7 / 8, abs=0.05)


def test_ids_are_those_that_every_table_has(tmp_path: Path) -> None:
    net = Net(np.random.default_rng(0), 1)
    net.embedding(6)
    net.cell("GRU", 5, linear_before_reset=1)
    net.save(tmp_path / "m.onnx", 18, last=False)
    graph = Graph.load(tmp_path / "m.onnx")
    assert reads_ids(graph)
    ids = own_signal(graph)["random ids"]
    assert ids.shape == (MOST_FRAMES,)
    assert ids.dtype == np.int64
    assert set(ids.tolist()) == set(range(ROWS))


def test_a_large_model_gets_fewer_frames(tmp_path: Path) -> None:
    for features, wanted in ((6, MOST_FRAMES), (100_000, 2**28 // 3_200_000)):
        count = len(own_signal(Graph.load(write_lstm(tmp_path / "m.onnx", features)))["noise of 1"])
        assert count == pytest.approx(max(wanted, FEWEST_FRAMES), abs=1)
