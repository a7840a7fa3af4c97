"""Transposed convolutions become convolutions with the same answers."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from tidegate.export.rewrites.transposed import write_transposed
from tools.graphs import run
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter

CASES: dict[str, dict[str, Any]] = {
    "stride 2": {"kernel_size": (1, 5), "stride": (1, 2), "padding": (0, 2)},
    "output padding": {"kernel_size": (1, 3), "stride": (1, 2), "padding": (0, 1), "output_padding": (0, 1)},
    "depthwise": {"kernel_size": (1, 3), "stride": (1, 2), "padding": (0, 1), "groups": 4},
    "groups, two frames": {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 1), "groups": 2},
    "dilated over time": {"kernel_size": (3, 3), "padding": (4, 1), "dilation": (2, 1), "groups": 4},
    "stride 3": {"kernel_size": (1, 4), "stride": (1, 3), "output_padding": (0, 2)},
    "fewer taps than the stride": {"kernel_size": (1, 2), "stride": (1, 4)},
    "without bias": {"kernel_size": (2, 3), "bias": False},
}


def written(module: nn.Module, tmp_path: Path, free: tuple[int, ...]) -> onnx.ModelProto:
    """Return a module's file without its transposed convolutions."""
    torch.manual_seed(0)
    names = {axis: f"axis{axis}" for axis in free}
    path = str(tmp_path / "m.onnx")
    torch.onnx.export(
        module.eval(), (torch.randn(2, 4, 6, 7),), path, dynamo=False, input_names=["x"], dynamic_axes={"x": names}
    )
    model = onnx.load(path)
    write_transposed(model, free)
    return model


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def check_same(module: nn.Module, model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    (seen,) = run(model, {"x": x}).values()
    np.testing.assert_allclose(seen, module(torch.tensor(x)).detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_convolution_gives_the_same_answers(name: str, tmp_path: Path) -> None:
    module = nn.ConvTranspose2d(4, 8, **CASES[name])
    model = written(module, tmp_path, (0, 2))
    assert "ConvTranspose" not in operators(model)
    check_same(module, model, (3, 4, 9, 7))


def test_bins_before_time_are_widened_too(tmp_path: Path) -> None:
    module = nn.ConvTranspose2d(4, 8, (5, 1), (2, 1), (2, 0), (1, 0))
    model = written(module, tmp_path, (0, 3))
    assert "ConvTranspose" not in operators(model)
    check_same(module, model, (3, 4, 6, 9))


class Cut(nn.Module):
    """Two frames per answer, and the frames after the last cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 8, (2, 3), (1, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.up(x)[:, :, :-1]
        return answer


def test_frames_that_are_cut_off_are_not_computed(tmp_path: Path) -> None:
    module = Cut()
    model = written(module, tmp_path, (0, 2))
    (conv,) = (node for node in model.graph.node if node.op_type == "Conv")
    assert next(list(a.ints) for a in conv.attribute if a.name == "pads") == [1, 1, 0, 1]
    check_same(module, model, (3, 4, 9, 7))


def test_more_frames_than_the_input_has_stay_transposed(tmp_path: Path) -> None:
    assert "ConvTranspose" in operators(written(nn.ConvTranspose2d(4, 8, (2, 1), (2, 1)), tmp_path, (0, 2)))


def test_weights_that_are_not_constant_stay(tmp_path: Path) -> None:
    model = written(nn.Conv2d(4, 4, 1), tmp_path, (0, 2))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "ones"))
    model.graph.node.append(helper.make_node("Neg", ["ones"], ["weights"]))
    model.graph.node.append(helper.make_node("ConvTranspose", ["x", "weights"], ["y"]))
    write_transposed(model, (0, 2))
    assert operators(model)[-1] == "ConvTranspose"
