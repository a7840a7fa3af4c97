"""Modules in a wrapper (torch.compile, DataParallel) are exported like their plain forms, and stay wrapped."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.export import export_model
from tidegate.runtime.load import load
from torch import Tensor, nn

X = torch.linspace(-1, 1, 33).reshape(11, 3)


class Net(nn.Module):
    """An LSTM with a head."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.lstm(x)[0])
        return answer


class CompiledForward(Net):
    """A forward that is compiled where it is written."""

    @torch.compile
    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.lstm(x)[0])
        return answer


def _whole() -> nn.Module:
    return torch.compile(Net())  # type: ignore[return-value] # its type is that of a function


def _parts() -> nn.Module:
    net = Net()
    net.lstm, net.head = torch.compile(net.lstm), torch.compile(net.head)  # type: ignore[assignment] # as above
    return net


def _in_place() -> nn.Module:
    net = Net()
    net.compile()
    return net


def _own_forward() -> nn.Module:
    net = Net()
    net.forward = torch.compile(net.forward)  # type: ignore[method-assign]
    return net


def _parallel() -> nn.Module:
    return nn.DataParallel(Net())


def _both() -> nn.Module:
    return torch.compile(nn.DataParallel(Net()))  # type: ignore[return-value] # as above


def _everything(module: nn.Module) -> list[object]:
    return [{**vars(child), "_modules": dict(child._modules)} for child in module.modules()]


@pytest.mark.parametrize("make", [_whole, _parts, _in_place, _own_forward, CompiledForward, _parallel, _both])
def test_compiled_modules_stream_as_their_plain_forms(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    module = make()
    before = _everything(module)
    report = export_model(module, X[None, :9], tmp_path / "m.onnx")
    assert _everything(module) == before
    assert [state.input for state in report.contract.states] == ["lstm.h_in", "lstm.c_in"]
    plain = Net()
    weights = {
        key.replace("_orig_mod.", "").removeprefix("module."): value for key, value in module.state_dict().items()
    }
    plain.load_state_dict(weights)
    with torch.no_grad():
        np.testing.assert_allclose(np.asarray(load(report.path).stream().push(X.numpy())), plain(X[None])[0], atol=1e-6)
