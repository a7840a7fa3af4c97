"""Parametrized weights are exported as the weights that they stand for, and stay parametrized."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.export import export_model
from tidegate.runtime.load import load
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize


class Symmetric(nn.Module):
    """A parametrization of one's own."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).mT


class Net(nn.Module):
    """An LSTM with a head."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.lstm(x)[0])
        return answer


KINDS: dict[str, Callable[[Net], object]] = {
    "spectral norm of an LSTM": lambda net: parametrizations.spectral_norm(net.lstm, "weight_hh_l0"),
    "spectral norm of a head": lambda net: parametrizations.spectral_norm(net.head),
    "weight norm": lambda net: parametrizations.weight_norm(net.lstm, "weight_ih_l0"),
    "orthogonal": lambda net: parametrizations.orthogonal(net.head),
    "of one's own": lambda net: parametrize.register_parametrization(net.head, "weight", Symmetric()),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_row_61_parametrized_weights_stream_as_their_module(tmp_path: Path, kind: str, *, training: bool) -> None:
    torch.manual_seed(0)
    module, x = Net(), torch.linspace(-1, 1, 33).reshape(11, 3)
    KINDS[kind](module)
    before = {key: value.clone() for key, value in module.train(training).state_dict().items()}
    path = export_model(module, x[None, :9], tmp_path / "m.onnx").path
    assert {key: value.tolist() for key, value in module.state_dict().items()} == {
        k: v.tolist() for k, v in before.items()
    }
    assert any(map(parametrize.is_parametrized, module.modules()))
    with torch.no_grad():
        wanted = module.eval()(x[None])[0].numpy()
        next(iter(module.parameters())).add_(1)  # the module follows its parameters again
        assert not np.allclose(module(x[None])[0].numpy(), wanted)
    np.testing.assert_allclose(np.asarray(load(path).stream().push(x.numpy())), wanted, atol=1e-6)
