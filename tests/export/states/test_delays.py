"""Zeros before frames that are read again later become a state; other Pads stay."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import tidegate
import torch
from tidegate.export.graph.axes import Axes, trace_dims
from tidegate.export.states.delays import lift_delays
from torch import Tensor, nn

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter


class Stacked(nn.Module):
    """Each frame with the two frames before it."""

    def __init__(self, frames: int = 2) -> None:
        super().__init__()
        self.frames, self.lstm = frames, nn.LSTM(3 * (frames + 1), 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x, (0, 0, self.frames, 0))
        parts = [padded[:, i : i - self.frames or None] for i in range(self.frames + 1)]
        answers: Tensor = self.lstm(torch.cat(parts, -1))[0]
        return answers


def test_row_177_frames_that_come_again_later_are_a_state(tmp_path: Path) -> None:
    """They were refused as frames of the whole sequence."""
    path = tmp_path / "m.onnx"
    report = tidegate.export_model(Stacked(), torch.randn(1, 9, 3), path)
    assert not report.refused
    tail = report.contract.states[0]
    assert (tail.input, tail.kind, tail.shape) == ("delay.tail_in", "tail", ("batch", 2, 3))
    frames = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    whole = tidegate.load(path).stream().push(frames)
    stream = tidegate.load(path).stream()
    np.testing.assert_array_equal(np.concatenate([stream.push(frame[None]) for frame in frames]), whole)


def test_a_pad_of_features_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "m.onnx")
    axes = {"x": {0: "axis0", 1: "axis1"}}
    wide = nn.ZeroPad2d((2, 0, 0, 0))
    torch.onnx.export(wide, (torch.zeros(1, 5, 3),), path, dynamo=False, input_names=["x"], dynamic_axes=axes)
    model = onnx.load(path)
    assert lift_delays(model, trace_dims(model, (0, 1)), Axes(1, 0), "batch") == ()
