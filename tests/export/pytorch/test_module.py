"""Modules under export: unchanged afterwards, and refused with clear messages."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tidegate.export import export_model
from tidegate.export.pytorch.module import Subject
from tidegate.runtime.errors import ExportError, UnsupportedError
from torch import Tensor, nn


class Net(nn.Module):
    """An LSTM for tests to change."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.lstm = nn.LSTM(3, 4, 2, batch_first=True, dropout=0.5)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.lstm(self.norm(x.transpose(1, 2)).transpose(1, 2))[0]
        return answer


class Failing(Net):
    """A forward that fails when traced at another length."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != 9:
            raise ValueError("nine frames please")
        return super().forward(x)


EXAMPLE = torch.linspace(-1, 1, 27).reshape(1, 9, 3)


@contextmanager
def _unchanged(module: nn.Module) -> Iterator[None]:
    """Check that everything visible in the module and the process is unchanged afterwards."""

    def seen() -> list[object]:
        return [
            [(name, child.training) for name, child in module.named_modules()],
            [(name, id(p), p.requires_grad, p.grad) for name, p in module.named_parameters()],
            [(len(child._forward_hooks), len(child._forward_pre_hooks)) for child in module.modules()],
            [value.tolist() for value in module.state_dict().values()],
            [torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()],
            [torch.get_rng_state().tolist(), list(warnings.filters), torch._C._jit_is_onnx_log_enabled()],
        ]

    before = seen()
    yield
    assert seen() == before


@pytest.mark.parametrize("training", [True, False])
def test_the_module_and_the_process_are_as_before(tmp_path: Path, training: bool) -> None:
    module = Net().train(training)
    module.norm.eval()  # frozen, as in fine-tuning
    module.register_forward_hook(lambda *_: None)
    with _unchanged(module):
        export_model(module, EXAMPLE, tmp_path / "m.onnx")


def test_the_module_is_as_before_when_the_export_fails(tmp_path: Path) -> None:
    module = Failing().train()
    with _unchanged(module), pytest.raises(ExportError, match=r"at length 1, .*ValueError: nine frames please"):
        export_model(module, EXAMPLE, tmp_path / "m.onnx")


def test_the_example_is_not_changed(tmp_path: Path) -> None:
    example = EXAMPLE.clone()
    export_model(Net(), example, tmp_path / "m.onnx")
    assert torch.equal(example, EXAMPLE)


def test_an_export_is_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    export_model(Net(), EXAMPLE.repeat(2, 1, 1), tmp_path / "m.onnx")
    with pytest.raises(ExportError, match="torch cannot export Untranslatable"):
        export_model(Untranslatable(), EXAMPLE, tmp_path / "m.onnx")
    assert capfd.readouterr() == ("", "")
    assert list(recwarn) == []


class Untranslatable(Net):
    """An operator without ONNX form."""

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = torch.special.airy_ai(super().forward(x))
        return answer


class Twice(nn.Module):
    """One LSTM over two sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.LSTM(3, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.inner(self.inner(x)[0])[0]
        return answer


def test_a_module_that_is_called_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="module 'inner' is called 2 times in one forward, wanted once"):
        export_model(Twice(), EXAMPLE, tmp_path / "m.onnx")


class Remembering(nn.Module):
    """A state kept between calls by the module itself."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.state = (torch.zeros(1, 1, 4), torch.zeros(1, 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        out, self.state = self.lstm(x, self.state)
        answer: Tensor = out
        return answer


class Random(nn.Module):
    """A random initial state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.randn(1, x.shape[0], 4)
        answer: Tensor = self.lstm(x, (h0, torch.zeros_like(h0)))[0]
        return answer


class Cells(nn.Module):
    """A loop over time in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(x.shape[0], 4)
        for i in range(9):
            h, c = self.cell(x[:, i], (h, c))
        return h


@pytest.mark.parametrize(
    ("module", "kind", "message"),
    [
        (Remembering(), ExportError, "whole, at the example: .* the module may answer at random, keep data between"),
        (Random(), UnsupportedError, "initial_h comes from RandomNormalLike .*, wanted zeros or constants that are"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_starts_that_change_from_call_to_call_are_refused(
    tmp_path: Path, module: nn.Module, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        export_model(module, EXAMPLE, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_loop_of_a_fixed_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"Cells on the first 4 frames: IndexError.*; let a loop over time run"):
        export_model(Cells(), EXAMPLE, tmp_path / "m.onnx")


class TwoSignals(Net):
    """A forward that needs lengths too."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override] # on purpose
        return super().forward(x) * lengths


class Pair(Net):
    """A forward that returns no tensors."""

    def forward(self, x: Tensor) -> object:  # type: ignore[override] # on purpose
        return super().forward(x), "done"


class Echo(Net):
    """An output with the name of the input."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override] # on purpose
        return {"x": super().forward(x)}


class Overflowing(Net):
    """An answer that is not finite."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 0


@pytest.mark.parametrize(
    ("module", "example", "message"),
    [
        ("net.pt", EXAMPLE, "got str, wanted a torch.nn.Module"),
        (TwoSignals(), EXAMPLE, "forward fails: .*lengths was None: give it in the example"),
        (Pair(), EXAMPLE, "the forward returns str, wanted tensors"),
        (Echo(), EXAMPLE, "output 'x' has the name of the input"),
        (Overflowing(), EXAMPLE, "output 'output_0' of the example is not finite"),
        (Net(), EXAMPLE / 0, "the example holds NaN or infinite values"),
        (Net(), EXAMPLE[:, :0], r"the example has shape \[1, 0, 3\], wanted at least one frame"),
        (Net(), EXAMPLE + 1j, "the example is torch.complex64, wanted real numbers"),
        (Net(), "1x9x3", "the example is str, wanted a tensor or an array of numbers"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_what_is_not_a_module_and_an_example_is_refused(
    tmp_path: Path, module: nn.Module, example: object, message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        export_model(module, example, tmp_path / "m.onnx")


def test_nested_answers_are_numbered_in_order() -> None:
    subject = Subject(nn.LSTM(3, 4), EXAMPLE)
    with subject.evaluating():
        assert {name: value.shape for name, value in subject.answers(subject.example).items()} == {
            "output_0": (1, 9, 4),
            "output_1": (1, 9, 4),
            "output_2": (1, 9, 4),
        }
