"""States that take the name of the forward's argument that holds them."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from tidegate.export import export_model
from tidegate.runtime.errors import StateError
from tidegate.runtime.load import load
from torch import Tensor, nn


class Gru(nn.Module):
    """One state tensor, time first."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(6, 8, 2), nn.Linear(8, 3)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        y, hidden = self.gru(x, hidden)
        return self.fc(y[-1]), hidden


class Turned(Gru):
    """The layers of the state come in another order: its name would promise the order of the argument."""

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        y, hidden = self.gru(x, torch.stack([hidden[1], hidden[0]]))
        return self.fc(y[-1]), torch.stack([hidden[1], hidden[0]])


class Shared(nn.Module):
    """One argument holds the states of two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = nn.GRU(6, 8, batch_first=True), nn.GRU(8, 8, batch_first=True)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y, low = self.low(x, h[:1])
        z, high = self.high(y, h[1:])
        return z, torch.cat([low, high])


@pytest.mark.parametrize(
    ("factory", "example", "states"),
    [
        (Turned, (torch.randn(9, 2, 6), torch.zeros(2, 2, 8)), ["gru.h_in"]),
        (Shared, (torch.randn(2, 9, 6), torch.zeros(2, 2, 8)), ["low.h_in", "high.h_in"]),
    ],
)
def test_an_argument_that_is_not_one_state_as_it_is_gives_no_name(
    factory: Callable[[], nn.Module], example: tuple[Tensor, Tensor], states: list[str], tmp_path: Path
) -> None:
    report = export_model(factory().eval(), example, tmp_path / "m.onnx")
    assert [state.input for state in report.contract.states] == states


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_row_90_a_stream_starts_from_a_state_under_its_arguments_name(
    backend: Literal["native", "onnxruntime"], tmp_path: Path
) -> None:
    torch.manual_seed(1)
    module = Gru()
    example = torch.randn(9, 1, 6), torch.randn(2, 1, 8)
    model = load(export_model(module, example, tmp_path / "m.onnx").path, backend)
    stream = model.stream({"hidden": example[1].numpy()})
    with torch.no_grad():
        wanted = module(*example)[0][0].numpy()
    np.testing.assert_allclose(stream.push(example[0][:, 0].numpy()), wanted, rtol=0, atol=2e-6)
    with pytest.raises(StateError, match=r"state 'gru\.h_in' is not one of the model, which has hidden"):
        model.stream({"gru.h_in": example[1].numpy()})
