"""The place in a module that stops an export: named by submodule, class and line."""

import warnings

import pytest
import torch
from tidegate.export.pytorch.culprit import place_of, sees_later_frames
from torch import Tensor, nn

FRAMES = 6


class Step(nn.Module):
    """A step of a model, after an LSTM."""

    def __init__(self, step: nn.Module, **options: bool) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, batch_first=True, **options)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.step(self.rnn(x)[0])
        return answer


class Centred(nn.Module):
    """Needs the mean over all frames."""

    def forward(self, y: Tensor) -> Tensor:
        return y - y.mean(1, keepdim=True)


class Inside(nn.Module):
    """A module around another."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, y: Tensor) -> Tensor:
        answer: Tensor = self.inner(torch.relu(y))
        return answer


def _later(module: nn.Module) -> str | None:
    with torch.no_grad():
        return sees_later_frames(module, module, torch.randn(2, FRAMES, 3), 1)


def test_the_innermost_submodule_that_needs_later_frames_is_named() -> None:
    assert _later(Step(Centred())) == "module 'step' (Centred)"
    assert _later(Step(Inside(Centred()))) == "module 'step.inner' (Centred)"


def test_a_causal_module_has_no_culprit() -> None:
    assert _later(Step(nn.Linear(4, 2))) is None


def test_a_backward_direction_is_no_culprit_but_a_step_after_it_may_be() -> None:
    assert _later(nn.Sequential(Step(nn.Identity(), bidirectional=True).rnn)) is None
    assert _later(Step(nn.Linear(8, 2), bidirectional=True)) is None


def test_hooks_are_gone_also_if_the_run_fails() -> None:
    module = Step(nn.Linear(5, 2))  # the LSTM gives 4
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        _later(module)
    assert not any(child._forward_hooks for child in module.modules())


class Untranslatable(nn.Module):
    """An operator without ONNX form."""

    def forward(self, y: Tensor) -> Tensor:
        answer: Tensor = torch.special.airy_ai(y)
        return answer


def test_the_module_and_the_line_of_an_operator_are_named() -> None:
    error = RuntimeError("Exporting the operator 'aten::special_airy_ai' to ONNX is not supported")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = place_of(Step(Untranslatable()), (torch.randn(1, FRAMES, 3),), error)
    assert seen.startswith(", which module 'step' calls at test_culprit.py:")
    assert seen.endswith("; write it with operators that have an ONNX form")


def test_a_batch_norm_without_statistics_is_named() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False))
    seen = place_of(module, (), RuntimeError("unsupported: batch_size is not known"))
    assert seen.startswith("; module '1' (BatchNorm1d) has no running statistics")
    assert place_of(nn.Linear(3, 3), (), RuntimeError("anything else")) == ""


class Remembering(nn.Module):
    """Keeps its state between calls."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, batch_first=True)
        self.state = torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)

    def forward(self, x: Tensor) -> Tensor:
        y, self.state = self.rnn(x, self.state)
        answer: Tensor = y
        return answer


def test_a_layer_that_starts_from_another_state_in_each_call_is_no_culprit() -> None:
    assert _later(Remembering()) is None


class Sizes(nn.Module):
    """A GRU whose batch and width are as many as its frames."""

    def __init__(self, size: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gru = nn.GRU(3, size, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y, h = self.gru(x)
        answer: Tensor = y[:, -1] + h[0]
        return answer


@pytest.mark.parametrize(("batch", "size"), [(1, FRAMES), (FRAMES, 4), (FRAMES, FRAMES), (1, 2 * FRAMES)])
def test_a_layer_with_as_many_values_as_frames_is_not_blamed(batch: int, size: int) -> None:
    module = Sizes(size).eval()
    assert sees_later_frames(module, module, torch.randn(batch, FRAMES, 3), 1) is None


class AtRandom(nn.Module):
    """Other answers at each call."""

    def forward(self, y: Tensor) -> Tensor:
        return y + 0.1 * torch.rand_like(y)


class Rounded(nn.Module):
    """Other last digits if later frames are other."""

    def forward(self, y: Tensor) -> Tensor:
        return y + 2e-5 * y.mean(1, keepdim=True)


@pytest.mark.parametrize("step", [AtRandom(), Rounded()])
def test_random_answers_and_rounding_are_not_blamed_on_later_frames(step: nn.Module) -> None:
    torch.manual_seed(0)
    module = Step(step).eval()
    assert sees_later_frames(module, module, torch.randn(2, FRAMES, 3), 1) is None
