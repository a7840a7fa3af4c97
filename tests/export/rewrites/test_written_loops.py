"""Modules with a cell written by hand in a loop over time, exported and streamed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.export import export_model, lift
from tidegate.quant import quantize
from tidegate.runtime.errors import TidegateError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from torch import Tensor, nn

Step = Callable[..., tuple[Tensor, ...]]
EXAMPLE = torch.randn(1, 9, 6, generator=torch.Generator().manual_seed(0))


class Loop(nn.Module):
    """A loop over time with a step of its own, a layer before and one after it."""

    def __init__(self, step: Step, gates: int, states: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.front, self.back = nn.Linear(6, 5), nn.Linear(8, 2)
        self.ours, self.theirs, self.more = nn.Linear(5, 8 * gates), nn.Linear(8, 8 * gates), nn.Linear(8, 8)
        self.step, self.states = step, states

    def forward(self, x: Tensor) -> Tensor:
        states = [x.new_zeros(x.shape[0], 8)] * self.states
        front, answers = self.front(x).relu(), []
        for t in range(x.shape[1]):
            states = list(self.step(self, front[:, t], *states))
            answers.append(states[0])
        made: Tensor = self.back(torch.stack(answers, 1))
        return made


def lstm(net: Loop, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    f, o, g, i = (net.ours(x) + net.theirs(h)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_after(net: Loop, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    a, b = net.ours(x).chunk(3, -1), net.theirs(h).chunk(3, -1)
    z, n = torch.sigmoid(a[0] + b[0]), torch.tanh(a[2] + torch.sigmoid(a[1] + b[1]) * b[2])
    return (n + z * (h - n),)


def rnn(net: Loop, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    return (torch.tanh(net.ours(x) + net.theirs(h)),)


@pytest.mark.parametrize(("step", "gates", "operator"), [(lstm, 4, "LSTM"), (gru_after, 3, "GRU"), (rnn, 1, "RNN")])
def test_a_cell_written_out_streams_on_the_engine(step: Step, gates: int, operator: str, tmp_path: Path) -> None:
    module = Loop(step, gates, 2 if operator == "LSTM" else 1).eval()
    export_model(module, EXAMPLE, tmp_path / "m.onnx")
    assert [node.op_type for node in Graph.load(tmp_path / "m.onnx").nodes].count(operator) == 1
    quantize(tmp_path / "m.onnx", tmp_path / "int8.onnx")
    x = torch.randn(1, 23, 6)
    with torch.no_grad():
        wanted = module(x)[0].numpy()
    for file, bound in (("m.onnx", 1e-6), ("int8.onnx", 0.05)):
        model = load(tmp_path / file, backend="native")
        cut = []
        for size in (1, 7, 23):
            stream = model.stream()
            cut.append(np.concatenate([stream.push(x[0, i : i + size].numpy()) for i in range(0, 23, size)]))
        assert np.abs(cut[0] - wanted).max() <= bound * np.abs(wanted).max()
        assert all(np.array_equal(cut[0], other) for other in cut)


def leaky(net: Loop, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    return (0.9 * h + 0.1 * torch.tanh(net.ours(x) + net.theirs(h)),)


def gated_norm(net: Loop, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    return (torch.tanh(nn.functional.softmax(net.ours(x) + net.theirs(h), -1)),)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (leaky, r"no recurrent layer found, and the step of state .* is no GRU: the next state is '0.9 .*', wanted z"),
        (gated_norm, r"Softmax .*: is an operator that no LSTM, GRU or RNN has; a cell that is none of these cannot"),
    ],
)
def test_a_cell_that_is_none_is_refused_by_the_value(step: Step, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=message):
        export_model(Loop(step, 1).eval(), EXAMPLE, tmp_path / "m.onnx")


class Deep(nn.Module):
    """The same layer again and again within a frame: no loop over time."""

    def __init__(self, *, recurrent: bool) -> None:
        super().__init__()
        self.fc, self.gru = nn.Linear(6, 6), nn.GRU(6, 4, batch_first=True) if recurrent else None

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(5):
            x = torch.relu(self.fc(x))
        return x if self.gru is None else self.gru(x)[0]


def test_a_layer_that_is_applied_again_and_again_is_no_loop_over_time(tmp_path: Path) -> None:
    export_model(Deep(recurrent=True).eval(), EXAMPLE, tmp_path / "m.onnx")
    with pytest.raises(TidegateError, match="no recurrent layer found, wanted"):
        export_model(Deep(recurrent=False).eval(), EXAMPLE, tmp_path / "m.onnx")


class Fixed(Loop):
    """A loop over six frames of one stream, as a frozen graph has it."""

    def forward(self, x: Tensor) -> Tensor:
        states = [torch.zeros(1, 8)] * self.states
        front, answers = self.front(x).relu(), []
        for t in range(6):
            states = list(self.step(self, front[:, t], *states))
            answers.append(states[0])
        made: Tensor = self.back(torch.stack(answers, 1))
        return made


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter
@pytest.mark.parametrize(("step", "gates", "operator"), [(lstm, 4, "LSTM"), (gru_after, 3, "GRU"), (rnn, 1, "RNN")])
def test_a_file_of_a_fixed_number_of_frames_streams_any_number(
    step: Step, gates: int, operator: str, tmp_path: Path
) -> None:
    """Its first step lacks the products with zeros, which are folded away."""
    module = Fixed(step, gates, 2 if operator == "LSTM" else 1).eval()
    torch.onnx.export(module, (EXAMPLE[:, :6],), tmp_path / "six.onnx", dynamo=False, input_names=["x"])
    lift(tmp_path / "six.onnx", tmp_path / "m.onnx")
    assert [node.op_type for node in Graph.load(tmp_path / "m.onnx").nodes].count(operator) == 1
    whole, x = Loop(step, gates, module.states), torch.randn(1, 23, 6)
    whole.load_state_dict(module.state_dict())
    stream = load(tmp_path / "m.onnx", backend="native").stream()
    with torch.no_grad():
        np.testing.assert_allclose(stream.push(x[0].numpy()), whole(x)[0].numpy(), rtol=1e-4, atol=1e-6)
