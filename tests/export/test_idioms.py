"""Common idioms of PyTorch on the engine: what users write after and around a recurrent layer.

Each module is exported, and streamed in chunks on the engine. Answers are within TOLERANCE of PyTorch's (relative to
the larger of 1 and the largest answer), and equal to those of the specification.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.export import export_model
from tidegate.runtime.arrays import Array
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.reference import ReferenceStream
from torch import Tensor, nn

TOLERANCE = 2e-6
FEATURES, UNITS = 6, 16
CHUNKS = [1, 4]


def assert_streams(module: nn.Module, folder: Path, *, timed: bool = True) -> None:
    """Compare the engine with PyTorch, and with the specification by ==."""
    torch.manual_seed(0)
    path = export_model(module.eval(), torch.randn(1, 9, FEATURES), folder / "m.onnx").path
    x = np.random.default_rng(0).standard_normal((11, FEATURES)).astype(np.float32)
    with torch.no_grad():
        answer = module(torch.from_numpy(x)[None])
        wanted: Array = answer.numpy()[0]
    stream, reference = load(path, "native").stream(), ReferenceStream(lower(Graph.load(path)))
    pieces = [(stream.push(part), *reference.push(part).values()) for part in np.split(x, CHUNKS)]
    seen, specified = (np.concatenate(p) if timed else p[-1] for p in zip(*pieces, strict=True))
    np.testing.assert_array_equal(seen, specified, strict=True)
    assert seen.shape == wanted.shape
    assert np.max(np.abs(seen - wanted)) <= TOLERANCE * max(1.0, float(np.max(np.abs(wanted))))


class Head(nn.Module):
    """A function of the frames that an LSTM answers, and of a linear layer."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(FEATURES, UNITS, batch_first=True), nn.Linear(UNITS, 3)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.fc, self.lstm(x)[0])


class After(nn.Module):
    """A function of the frames that an LSTM answers, which reach from -4 to 4."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.lstm, self.function = nn.LSTM(FEATURES, UNITS, batch_first=True), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.lstm(x)[0] * 4)


class OfStates(nn.Module):
    """A linear layer of the final states of a stack."""

    def __init__(self, head: Callable[[Tensor, Tensor], Tensor], kind: Callable[..., nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.layers, self.head = kind(FEATURES, UNITS, 2, batch_first=True), head
        self.fc = nn.Linear(head(torch.zeros(2, 1, UNITS), torch.zeros(2, 1, UNITS)).shape[-1], 3)

    def forward(self, x: Tensor) -> Tensor:
        _, state = self.layers(x)
        answer: Tensor = self.fc(self.head(*state) if isinstance(state, tuple) else self.head(state, state))
        return answer


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "ELU": nn.ELU(),
    "ELU(0.3)": nn.ELU(0.3),
    "SELU": nn.SELU(),
    "CELU": nn.CELU(),
    "CELU(2)": nn.CELU(2.0),
    "Softplus": nn.Softplus(),
    "Softplus(2, 5)": nn.Softplus(2.0, 5.0),
    "Mish": nn.Mish(),
    "LogSigmoid": nn.LogSigmoid(),
    "log of Softplus": lambda y: nn.functional.softplus(y).log(),
    "sign": torch.sign,
    "** -0.5": lambda y: y * (y.pow(2).mean(-1, keepdim=True) + 0.25) ** -0.5,
    "** 3": lambda y: y**3,
    "** 1.5": lambda y: y.abs() ** 1.5,
    "** -2": lambda y: (y * y + 1) ** -2,
    "sign times magnitude ** 0.3": lambda y: y.sign() * y.abs() ** 0.3,
    "10 ** (y / 20)": lambda y: torch.pow(10.0, y / 20),
    "2 ** y": lambda y: 2**y,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_row_66_a_function_of_each_frame(name: str, tmp_path: Path) -> None:
    assert_streams(After(FUNCTIONS[name]), tmp_path)


def norm_of_folded(fc: nn.Module, y: Tensor) -> Tensor:
    b, t, f = y.shape
    return torch.relu(fc(nn.functional.normalize(y.reshape(b * t, f), dim=-1))).reshape(b, t, -1)


FOLDS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "b * t, f": lambda fc, y: fc(y.reshape(y.shape[0] * y.shape[1], y.shape[2])).reshape(y.shape[0], y.shape[1], -1),
    "b * t, -1": lambda fc, y: fc(y.reshape(y.size(0) * y.size(1), -1)).view(y.size(0), y.size(1), 3),
    "t * b, -1": lambda fc, y: fc(y.reshape(y.size(1) * y.size(0), -1)).view(y.size(0), -1, 3),
    "-1, f": lambda fc, y: fc(y.reshape(-1, y.size(-1))).view(y.size(0), -1, 3),
    "flatten": lambda fc, y: fc(y.flatten(0, 1)).unflatten(0, (y.shape[0], y.shape[1])),
    "a norm between": norm_of_folded,
}


@pytest.mark.parametrize("name", FOLDS)
def test_batch_and_time_are_folded_and_unfolded(name: str, tmp_path: Path) -> None:
    assert_streams(Head(FOLDS[name]), tmp_path)


HEADS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "h.mean(0)": lambda h, _: h.mean(0),
    "h.sum(0)": lambda h, _: h.sum(0),
    "h.max(0)[0]": lambda h, _: h.max(0)[0],
    "h.amin(0)": lambda h, _: h.amin(0),
    "h.transpose(0, 1).reshape(B, -1)": lambda h, _: h.transpose(0, 1).reshape(h.shape[1], -1),
    "h.permute(1, 0, 2).flatten(1)": lambda h, _: h.permute(1, 0, 2).flatten(1),
    "h.transpose(0, 1).mean(1)": lambda h, _: h.transpose(0, 1).mean(1),
    "h.view(layers, directions, B, H)[-1]": lambda h, _: h.view(2, 1, -1, UNITS)[-1].squeeze(0),
    "h[-2:]": lambda h, _: h[-2:].transpose(0, 1).flatten(1),
    "h[-1:]": lambda h, _: h[-1:].squeeze(0),
    "unbind": lambda h, _: torch.cat(torch.unbind(h, 0), -1),
    "stack": lambda h, _: torch.stack([h[0], h[1]], 1).flatten(1),
    "cat(h[-1], c[-1])": lambda h, c: torch.cat([h[-1], c[-1]], -1),
    "cat(h, c)": lambda h, c: torch.cat([h, c], -1).transpose(0, 1).flatten(1),
    "h[-1] + c[-1]": lambda h, c: h[-1] + c[-1],
    "c.mean(0)": lambda _, c: c.mean(0),
    "functions of h": lambda h, _: torch.tanh(2 * h).mean(0) + (h - h.mean(0)).abs().sum(0),
}


@pytest.mark.parametrize("name", HEADS)
def test_row_66_a_head_on_final_states(name: str, tmp_path: Path) -> None:
    assert_streams(OfStates(HEADS[name]), tmp_path, timed=False)


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN])
def test_a_head_on_the_final_states_of_other_cells(kind: Callable[..., nn.RNNBase], tmp_path: Path) -> None:
    assert_streams(OfStates(HEADS["h.transpose(0, 1).reshape(B, -1)"], kind), tmp_path, timed=False)
