"""The page of a quantization: its tables, its pictures and its escapes."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks.showing.quantization_page import pictures, write_quantization_page
from tidegate.benchmarks.tables import Table
from tidegate.quant import quantize
from tools.onnx_files import write_lstm

pytest.importorskip("matplotlib")


def calibration() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((200, 6), np.float32) for _ in range(5)]


@pytest.mark.slow
def test_the_page_has_every_picture(tmp_path: Path) -> None:
    report = quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "q.onnx", calibration=calibration())
    assert len(list(pictures(report))) == 2 + 3  # over time, sensitivities, and a histogram per weight
    write_quantization_page(report, [Table("a <b>", ["x|"], [["y"]]), "a & b"], tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert text.count("<svg") == 5
    assert "a &lt;b&gt;" in text
    assert "a &amp; b" in text
    for words in ("does it drift?", "Sensitivity", "rounding errors"):
        assert words in text


def test_without_calibration_there_are_only_histograms(tmp_path: Path) -> None:
    report = quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "q.onnx")
    assert len(list(pictures(report))) == 3
    for row in report.weights:
        assert [one.gate for one in row.histograms] == [gate.gate for gate in row.gates] or [""]
        assert sum(sum(one.codes) for one in row.histograms) == row.shape[0] * row.shape[1]
        assert sum(sum(one.errors) for one in row.histograms) == row.shape[0] * row.shape[1]
