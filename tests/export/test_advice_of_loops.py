"""Advice about loops, states and convolutions that was followed: each way out of a message leads to a file."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tidegate.export import export_model
from tidegate.runtime.errors import ContractError, ExportError, UnsupportedError
from torch import Tensor, nn

EXAMPLE = torch.linspace(-1, 1, 108).reshape(2, 9, 6)
REFUSED = ContractError, ExportError, UnsupportedError
Run = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter


class Net(nn.Module):
    """Layers, and what is done with them."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.rnn, self.again = (
            nn.GRUCell(6, 6),
            nn.GRU(6, 6, batch_first=True),
            nn.GRU(6, 6, batch_first=True),
        )
        self.both = nn.GRU(6, 6, batch_first=True, bidirectional=True)
        self.start = nn.Parameter(torch.ones(2, 1, 6))
        self.plain, self.same = nn.Conv1d(6, 6, 3), nn.Conv1d(6, 6, 3, padding="same")
        self.around, self.pad = nn.Conv1d(6, 6, 3, padding=2), nn.ConstantPad1d((2, 0), 0.0)
        self.run = run

    def forward(self, x: Tensor, *states: Tensor) -> Any:  # noqa: ANN401  any kind of answer
        return self.run(self, x, *states)


class Stateful(Net):
    """Takes its state."""

    def forward(self, x: Tensor, h: Tensor) -> Any:  # type: ignore[override]  # noqa: ANN401
        return self.run(self, x, h)


def _loop(step: Run = lambda net, x, t, h: net.cell(x[:, t], h), join: Run = lambda a: torch.stack(a, 1)) -> Run:
    def run(net: Net, x: Tensor) -> Tensor:
        h, answers = x.new_zeros(x.shape[0], 6), []
        for t in range(x.shape[1]):
            h = step(net, x, t, h)
            answers.append(h)
        joined: Tensor = join(answers)
        return joined

    return run


def _convolved(layer: Run) -> Run:
    return lambda net, x: net.rnn(layer(net, x.transpose(1, 2)).transpose(1, 2))[0]


ADVICE: dict[str, tuple[Run, str, list[Run]]] = {
    "joined along another axis": (
        _loop(join=lambda answers: torch.cat(answers, 1)),
        r"joins the answers of the steps along axis .*; use torch.stack\(answers, dim=1\)",
        [_loop()],
    ),
    "a state that is changed": (
        _loop(lambda net, x, t, h: net.cell(x[:, t], 0.5 * h)),
        "use one cell for one sequence, and change no state between two steps",
        [_loop()],
    ),
    "a module called twice": (
        lambda net, x: net.rnn(net.rnn(x)[0])[0],
        r"called 2 times in one forward, .*; calls for other sequences need a module each \(copy.deepcopy\)",
        [lambda net, x: net.again(net.rnn(x)[0])[0]],
    ),
    "a start in both directions": (
        lambda net, x: net.both(x, net.start.expand(2, x.shape[0], 6).contiguous())[0],
        "its backward direction starts from zeros in each block; train it from zeros, or in one direction",
        [
            lambda net, x: net.both(x)[0],
            lambda net, x: net.rnn(x, net.start[:1].expand(1, x.shape[0], 6).contiguous())[0],
        ],
    ),
    "a convolution that is not padded": (
        _convolved(lambda net, x: net.plain(x)),
        r"pad only on the left \(nn.ConstantPad1d\(\(2, 0\), 0.0\)\), cut the last 2 answers of padding=2, or look",
        [
            _convolved(lambda net, x: net.plain(net.pad(x))),
            _convolved(lambda net, x: net.around(x)[..., :-2]),
            _convolved(lambda net, x: net.same(x)),
        ],
    ),
}


@pytest.mark.parametrize("name", ADVICE)
def test_row_127_the_way_out_of_a_loop_a_state_or_a_convolution_leads_to_a_file(name: str, tmp_path: Path) -> None:
    run, message, ways_out = ADVICE[name]
    with pytest.raises(REFUSED, match=message):
        export_model(Net(run), EXAMPLE, tmp_path / "m.onnx")
    for place, way_out in enumerate(ways_out):
        export_model(Net(way_out), EXAMPLE, tmp_path / f"{place}.onnx")


def test_a_start_that_follows_from_the_signal_is_handed_in(tmp_path: Path) -> None:
    with pytest.raises(REFUSED, match="hand other states in as arguments of the forward"):
        export_model(
            Net(lambda net, x: net.rnn(x, x[:, :1].transpose(0, 1).contiguous())[0]), EXAMPLE, tmp_path / "m.onnx"
        )
    export_model(Stateful(lambda net, x, h: net.rnn(x, h)[0]), (EXAMPLE, torch.zeros(1, 2, 6)), tmp_path / "m.onnx")


def test_a_copy_of_a_module_is_a_module_of_its_own(tmp_path: Path) -> None:
    net = Net(lambda net, x: net.again(net.rnn(x)[0])[0])
    net.again = copy.deepcopy(net.rnn)
    export_model(net, EXAMPLE, tmp_path / "m.onnx")
