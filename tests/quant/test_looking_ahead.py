"""Models that look ahead are calibrated: on streams that they did not hear they err less than half as much."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tidegate as tg
import torch
from tidegate.quant import quantize
from tidegate.runtime.arrays import Floats
from tidegate.runtime.load import load


def smooth(count: int) -> list[Floats]:
    """Return streams whose features change slowly and together, like real signals."""
    rng = np.random.default_rng(4)
    mixing = rng.normal(size=(2, 6))
    walks = np.cumsum(rng.normal(0, 0.3, (count, 300, 2)), 1)
    return list((np.sin(walks) @ mixing + 0.05 * rng.normal(size=(count, 300, 6))).astype(np.float32))


class Both(torch.nn.Module):
    """Both directions after a convolution that looks ahead; answers for each frame, or one."""

    def __init__(self, cell: Callable[..., torch.nn.RNNBase], *, last: bool = False) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(6, 6, 3, padding="same")
        self.rnn, self.fc = cell(6, 12, batch_first=True, bidirectional=True), torch.nn.Linear(24, 3)
        self.last = last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, h = self.rnn(x + self.conv(x.transpose(1, 2)).transpose(1, 2))
        h = h[0] if isinstance(h, tuple) else h
        answer: torch.Tensor = self.fc(torch.cat((h[0], h[1]), 1) if self.last else y)
        return answer


@pytest.mark.parametrize(
    ("cell", "last", "options"),
    [
        (torch.nn.LSTM, False, {"block": 8, "lookahead": 4}),
        (torch.nn.GRU, False, {}),
        (torch.nn.RNN, False, {"block": 30}),
        (torch.nn.LSTM, True, {}),
    ],
)
def test_row_97_calibration_of_a_model_that_looks_ahead_more_than_halves_its_error(
    tmp_path: Path, cell: Callable[..., torch.nn.RNNBase], last: bool, options: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    tg.export_model(Both(cell, last=last), torch.randn(1, 40, 6), tmp_path / "m.onnx", **options)
    *streams, fresh = smooth(7)

    def ends(path: Path) -> Floats:
        stream = load(path).stream()
        made = [stream.push(fresh), stream.finish()]
        return np.concatenate([np.atleast_2d(np.asarray(one)) for one in made if one is not None and len(one)])

    def error_of(path: Path) -> float:
        exact = ends(tmp_path / "m.onnx")
        return float(np.sqrt(np.mean((ends(path) - exact) ** 2) / np.mean(exact**2)))

    quantize(tmp_path / "m.onnx", tmp_path / "plain.onnx")
    report = quantize(tmp_path / "m.onnx", tmp_path / "q.onnx", calibration=streams, extra=0)
    plain, made = error_of(tmp_path / "plain.onnx"), error_of(tmp_path / "q.onnx")
    print(f"{plain:.2e} without calibration, {made:.2e} with; {report.calibration}")
    assert made <= 0.5 * plain
    assert report.backend.startswith("native")
    assert all(weight.activation_bits == 16 for weight in report.weights)
