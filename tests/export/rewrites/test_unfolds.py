"""Unfold inside a frame: places that torch computes become constants, and each frame stays by itself."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tidegate.export.graph.constants import fold_constants
from tidegate.export.rewrites.unfolds import write_unfolds
from tools.graphs import run
from torch import Tensor, nn

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter


class Unfold(nn.Module):
    """The sub-band features of GTCRN."""

    def __init__(self, kernel: tuple[int, int] = (1, 3)) -> None:
        super().__init__()
        self.taps = kernel[0] * kernel[1]
        self.unfold = nn.Unfold(kernel, padding=(kernel[0] // 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.unfold(x).reshape(x.shape[0], x.shape[1] * self.taps, x.shape[2], x.shape[3])
        return answer


def written(module: nn.Module, tmp_path: Path) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return a module's file before and after."""
    axes, path = {"x": {0: "batch", 2: "time"}}, str(tmp_path / "m.onnx")
    torch.onnx.export(module, (torch.randn(2, 4, 6, 7),), path, dynamo=False, input_names=["x"], dynamic_axes=axes)
    before, model = onnx.load(path), onnx.load(path)
    fold_constants(model)
    write_unfolds(model, "x", (0, 2))
    return before, model


def test_neighbours_inside_a_frame(tmp_path: Path) -> None:
    before, after = written(Unfold(), tmp_path)
    reads = [node.input[1] for node in after.graph.node if node.op_type == "Gather" and node.input[0] != "x"]
    x = np.random.default_rng(0).standard_normal((1, 4, 9, 7)).astype(np.float32)
    (wanted,), (seen,) = (run(model, {"x": x}).values() for model in (before, after))
    np.testing.assert_array_equal(seen, wanted)
    constants = {tensor.name for tensor in after.graph.initializer}
    assert any(name in constants for name in reads)
    assert "Unsqueeze" in [node.op_type for node in after.graph.node]


def test_neighbours_over_frames_stay(tmp_path: Path) -> None:
    before, after = written(Unfold((3, 3)), tmp_path)
    x = np.random.default_rng(0).standard_normal((1, 4, 9, 7)).astype(np.float32)
    (wanted,), (seen,) = (run(model, {"x": x}).values() for model in (before, after))
    np.testing.assert_array_equal(seen, wanted)
    assert "Range" in [node.op_type for node in after.graph.node]
