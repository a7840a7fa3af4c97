"""ScriptModules in a shell: optional arguments keep their defaults, and names lose the shell again."""

import warnings

import pytest
import torch
from onnx import helper
from tidegate.export.graph.editing import value_names
from tidegate.export.pytorch.scripted import in_shell, strip_shell
from tools.graphs import model_of
from torch import Tensor, nn


class Gain(nn.Module):
    """A linear layer with an optional gain."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor, gain: Tensor | None = None) -> Tensor:
        y: Tensor = self.fc(x)
        return y if gain is None else y * gain


def _scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit.script is deprecated
        made: nn.Module = torch.jit.script(Gain().eval())
    return made


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_shell_answers_as_the_module_without_optional_arguments() -> None:
    module, x = _scripted(), torch.randn(4, 3)
    shell = in_shell(module, x)
    for signal in (x, torch.randn(7, 3)):
        torch.testing.assert_close(shell(signal), module(signal))
    with pytest.raises(RuntimeError, match="expected at most"):
        shell(x, torch.ones(2))


def test_names_lose_the_shell() -> None:
    node = helper.make_node("MatMul", ["x", "scripted.fc.weight"], ["y"], "/scripted/fc/MatMul")
    model = model_of([node], {"x": [3, 3]}, ["y"], {"scripted.fc.weight": torch.ones(3, 2).numpy()})
    strip_shell(model)
    assert model.graph.node[0].name == "/fc/MatMul"
    assert value_names(model) == {"x", "fc.weight", "y"}


def test_names_without_a_shell_do_not_change() -> None:
    node = helper.make_node("MatMul", ["x", "fc.weight"], ["y"], "/fc/MatMul")
    model = model_of([node], {"x": [3, 3]}, ["y"], {"fc.weight": torch.ones(3, 2).numpy()})
    before = model.SerializeToString()
    strip_shell(model)
    assert model.SerializeToString() == before
