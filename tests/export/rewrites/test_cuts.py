"""A cut after functions of one value comes right after its convolution."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import ModelProto
from tidegate.export import export_model
from tidegate.export.rewrites.cuts import move_cuts
from tools.foreign_files import ForeignFile
from tools.lifting import assert_streams_as

onnxruntime = pytest.importorskip("onnxruntime")


def _model(*, shown: bool = False, read_twice: bool = False, conv: bool = True) -> ModelProto:
    """A padded convolution, two functions and a cut of the last two answers."""
    file = ForeignFile(17)
    x = file.input("x", [1, 4, "T"])
    y = (
        file.add("Conv", [x, file.weight(5, 4, 3)], pads=[2, 2])
        if conv
        else file.add("Pad", [x, file.axes(0, 0, 2, 0, 0, 2)])
    )
    y = file.add("Tanh", [file.add("Relu", [y])])
    cut = file.add("Slice", [y, file.axes(0), file.axes(-2), file.axes(2)])
    file.output(file.add("Neg", [cut], "y"), [1, 5 if conv else 4, "T"])
    if shown:
        file.output(file.add("Identity", [y], "whole"), [1, 5, "N"])
    if read_twice:
        file.output(file.add("Abs", [y], "other"), [1, 5, "N"])
    return file.model()


def _kinds(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_a_cut_moves_over_functions() -> None:
    model, x = _model(), np.random.default_rng(0).standard_normal((1, 4, 9)).astype(np.float32)
    before = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )
    move_cuts(model)
    assert _kinds(model) == ["Conv", "Slice", "Relu", "Tanh", "Neg"]
    after = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )
    np.testing.assert_array_equal(before[0], after[0])


@pytest.mark.parametrize("form", [{"shown": True}, {"read_twice": True}, {"conv": False}])
def test_other_cuts_stay(form: dict[str, bool]) -> None:
    model = _model(**form)
    before = _kinds(model)
    move_cuts(model)
    assert _kinds(model) == before


class _Net(torch.nn.Module):
    """Convolutions that are cut after their activation, as PercepNet has them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Sequential(torch.nn.Conv1d(6, 8, 5, padding=4), torch.nn.ReLU())
        self.second = torch.nn.Sequential(torch.nn.Conv1d(8, 8, 3, padding=2), torch.nn.Tanh())
        self.gru = torch.nn.GRU(8, 10, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x.transpose(1, 2))[:, :, :-4]
        return self.gru(self.second(y)[:, :, :-2].transpose(1, 2))[0]  # type: ignore[no-any-return]  # a GRU is untyped


def test_a_net_that_cuts_after_its_activations_streams(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, x = _Net().eval(), torch.randn(1, 20, 6)
    export_model(module, x, tmp_path / "out.onnx")
    assert_streams_as(tmp_path, x[0].numpy(), module(x)[0].detach().numpy())
