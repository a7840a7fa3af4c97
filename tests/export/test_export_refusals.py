"""Modules that cannot be exported: each is refused with a clear message, and no file is left."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from tidegate.export import ExportReport, export_model
from tidegate.runtime.errors import BackendError, ContractError, ExportError, ModelError, UnsupportedError
from tools.torch_modules import LastAnswer, TwoDepths
from torch import Tensor, nn


def _example(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def _export(factory: Callable[[], nn.Module], example: object, folder: Path) -> ExportReport:
    torch.manual_seed(1)
    return export_model(factory(), example, folder / "m.onnx")


def _name(value: object) -> str | None:
    """Return the name of a parameter for pytest."""
    return getattr(value, "__name__", None)


class FixedLength(LastAnswer):
    """A length that becomes a Python number."""

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(x)
        answer: Tensor = self.fc(out[:, int(x.shape[1]) - 1])
        return answer


class FixedBatch(LastAnswer):
    """An initial state for one stream only."""

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.lstm(x, (torch.zeros(2, 1, 8), torch.zeros(2, 1, 8)))[0]
        return answer


class Average(LastAnswer):
    """An answer that needs the whole sequence."""

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.lstm(x)[0].mean(1)
        return answer


class Stateless(LastAnswer):
    """An LSTM with an unused answer."""

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(x)
        answer: Tensor = x[:, -1] + 0 * out[:, -1, :6]
        return answer


class Squeezed(LastAnswer):
    """A squeeze that drops a batch of one."""

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.lstm(x)[0].squeeze(0)
        return answer


class FirstOnly(LastAnswer):
    """Only the first stream of a batch."""

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.lstm(x[0])[0]
        return answer


class Noisy(LastAnswer):
    """Noise in the answer."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lstm(x)[0]
        return out + torch.randn_like(out)


class Turned(TwoDepths):
    """batch_first forgotten in one of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.LSTM(5, 4)


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        (FixedLength, UnsupportedError, r"'/Gather' takes a frame counted from the ends .*remarked at .*\.py:\d+"),
        (FixedBatch, ExportError, r"at length 20, batch 3 .*the module's own forward fails.*Expected hidden"),
        (Average, UnsupportedError, r"ReduceMean '/ReduceMean' pools over time, wanted each frame by itself"),
        (Stateless, ExportError, "lstm.h_in zeroed in layer 0: the answer changes by 0, wanted more than"),
        (Squeezed, ContractError, r"output 'output_0' has shape \[\?\], wanted .*squeeze\(\) may drop it"),
        (
            FirstOnly,
            ContractError,
            r"input 'x' of shape \[1, 20, 6\]: the recurrent layer has no free batch axis, wanted one",
        ),
        (Noisy, ExportError, r"whole, at the example: output 'output' at .*the module may answer at random"),
        (Turned, ContractError, "'/decoder/LSTM' runs along axis 0 .*'/encoder/rnn/LSTM' along axis 1"),
        (lambda: nn.Linear(6, 6), ModelError, "no recurrent layer found"),
        (lambda: LastAnswer().double(), ExportError, r"lstm.weight_ih_l0 is torch.float64, wanted torch.float32"),
        (lambda: nn.LSTM(5, 4), ExportError, "the module's own forward fails: RuntimeError: input.size"),
    ],
    ids=_name,
)
def test_refusals_leave_no_file(
    tmp_path: Path, module: Callable[[], nn.Module], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        _export(module, _example(1, 20, 6), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_when_the_proof_fails(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"older")
    with pytest.raises(UnsupportedError):
        _export(Average, _example(1, 20, 6), tmp_path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("m.onnx", b"older")]


def test_a_tolerance_that_is_too_tight_says_what_was_measured(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"error \S+e-\d\d of the largest value, at most 1e-12 allowed"):
        export_model(LastAnswer(), _example(1, 20, 6), tmp_path / "m.onnx", tolerance=1e-12)


@pytest.mark.parametrize(("rate", "hop"), [(-1, None), (float("nan"), None), (16000, 0)])
def test_rates_that_are_not_positive_are_refused(tmp_path: Path, rate: float, hop: int | None) -> None:
    with pytest.raises(ContractError, match="is not allowed"):
        export_model(LastAnswer(1), _example(1, 20, 6), tmp_path / "m.onnx", sample_rate=rate, hop=hop)


def test_a_missing_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"there is no folder .*create it first"):
        export_model(LastAnswer(), _example(1, 20, 6), tmp_path / "none" / "m.onnx")
    with pytest.raises(ExportError, match="is a folder"):
        export_model(LastAnswer(), _example(1, 20, 6), tmp_path)


def test_a_file_that_the_checker_refuses_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise onnx.checker.ValidationError("no such thing")

    monkeypatch.setattr(onnx.checker, "check_model", refuse)
    with pytest.raises(ExportError, match="the ONNX checker refuses the lifted file: no such thing"):
        _export(LastAnswer, _example(1, 20, 6), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_torch_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(BackendError, match=r"torch is not installed.*pip install 'tidegate\[export\]'"):
        export_model(LastAnswer(), _example(1, 20, 6), tmp_path / "m.onnx")
