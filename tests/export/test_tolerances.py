"""Exports of models whose answers float32 rounding moves far, and the ways out of messages about tolerances."""

from pathlib import Path

import pytest
import torch
from tidegate.benchmarks.tasks import find
from tidegate.export import export_model
from tidegate.runtime.errors import ExportError
from tools.shared import DATA, shared_folder
from torch import Tensor, nn


class Loud(nn.Module):
    """A recurrent net whose large weights make rounding grow from frame to frame."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU | nn.RNN], gain: float, *, last: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.fc, self.last = kind(6, 64, 2, batch_first=True), nn.Linear(64, 1), last
        with torch.no_grad():
            for tensor in self.rnn.parameters():
                tensor.mul_(gain)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(self.rnn(x)[0])
        answer: Tensor = y[:, -1] if self.last else y
        return answer


class Inexact(nn.Module):
    """Answers that are a little larger than those of its trace."""

    def __init__(self, error: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.error = nn.LSTM(6, 8, batch_first=True), error

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lstm(x)[0]
        return y if torch.onnx.is_in_onnx_export() else y * (1 + self.error)


def example(frames: int, *, gain: float = 1.0) -> Tensor:
    return gain * torch.randn(1, frames, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["muff_lstm64", "ht1_gru64"])
@pytest.mark.parametrize(("frames", "gain"), [(64, 1.0), (100, 0.05), (100, 3.0)])
def test_row_53_a_real_amplifier_is_exported_with_the_defaults(
    name: str, frames: int, gain: float, tmp_path: Path
) -> None:
    shared_folder("amp")
    x = gain * torch.randn(1, frames, 1, generator=torch.Generator().manual_seed(1))
    report = export_model(find(name, DATA).module, x, tmp_path / "m.onnx")
    assert max(check.tolerance for check in report.checks if not check.must_differ) <= 1e-3


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_loud_net_is_exported_with_the_defaults(kind: type[nn.LSTM | nn.GRU | nn.RNN], tmp_path: Path) -> None:
    """Its answers to 60 frames of noise have no right digit; the first frames prove the file."""
    export_model(Loud(kind, 10), example(60), tmp_path / "m.onnx")


def test_a_small_fault_is_found_in_a_quiet_net(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"error 3e-05 of the largest value, at most 1e-05 allowed; if so small"):
        export_model(Inexact(3e-5), example(20), tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_a_small_fault_is_found_in_a_loud_net(tmp_path: Path) -> None:
    class Both(Loud):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            return y if torch.onnx.is_in_onnx_export() else y * 1.002

    with pytest.raises(ExportError, match=r"error 0.001\d? of the largest value"):
        export_model(Both(nn.GRU, 10), example(60), tmp_path / "m.onnx")


def test_the_tolerance_that_a_message_asks_for_leads_to_a_file(tmp_path: Path) -> None:
    module, path = Inexact(3e-5), tmp_path / "m.onnx"
    with pytest.raises(ExportError, match=r"set tolerance= \(--tolerance\)"):
        export_model(module, example(20), path)
    assert export_model(module, example(20), path, tolerance=1e-4).error == pytest.approx(3e-5, rel=0.1)


def test_a_tolerance_below_the_rounding_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    module, path = Loud(nn.LSTM, 4), tmp_path / "m.onnx"
    with pytest.raises(ExportError, match=r"float32 rounding alone may give as much: .* leave it out$"):
        export_model(module, example(20), path, tolerance=1e-9)
    export_model(module, example(20), path)
    export_model(module, example(20), path, tolerance=1e-5)


def test_an_answer_at_the_end_is_proved_by_short_signals(tmp_path: Path) -> None:
    report = export_model(Loud(nn.GRU, 10, last=True), example(80), tmp_path / "m.onnx")
    names = [check.name for check in report.checks]
    assert "whole, at length 1, batch 1 (example: length 80, batch 1)" in names
    assert "whole, at the example" not in names


class Cancelling(nn.Module):
    """Answers with few right digits from the first frame on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.offset = nn.LSTM(6, 8, batch_first=True), nn.Parameter(torch.full((8,), 3e3))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lstm(x)[0] * (1 if torch.onnx.is_in_onnx_export() else 1.001)
        return y + self.offset - 3e3


def test_a_net_without_right_digits_needs_a_tolerance_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"they prove nothing; set tolerance= \(--tolerance\)$"):
        export_model(Cancelling(), example(20), tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
    export_model(Cancelling(), example(20), tmp_path / "m.onnx", tolerance=0.1)
