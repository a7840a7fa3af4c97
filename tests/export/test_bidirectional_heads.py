"""Heads on the final states of several bidirectional layers: they stream on both backends, equal to offline."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tidegate.export import export_model
from tidegate.runtime.arrays import Array
from tidegate.runtime.load import Backend, load
from torch import Tensor, nn

Head = Callable[[Tensor, Tensor], Tensor]
BACKENDS: list[Backend] = ["native", "onnxruntime"]
FRAMES = np.random.default_rng(1).normal(0, 1, (40, 6)).astype(np.float32)
HEADS: dict[str, Head] = {
    "all states, joined": lambda _, h: torch.cat((h[0], h[1], h[2], h[3]), 1),
    "mean": lambda _, h: h.mean(0),
    "largest": lambda _, h: h.amax(0),
    "batch first, flat": lambda _, h: h.transpose(0, 1).flatten(1),
    "batch first, reshaped": lambda _, h: h.permute(1, 0, 2).reshape(h.shape[1], -1),
    "seen by layer": lambda _, h: torch.cat((h.view(2, 2, -1, 5)[-1, 0], h.view(2, 2, -1, 5)[-1, 1]), 1),
    "the last two": lambda _, h: h[-2:].transpose(0, 1).flatten(1),
    "forward of the upper, backward of the lower": lambda _, h: torch.cat((h[2], h[1]), 1),
    "states and the last answer": lambda y, h: torch.cat((h[-2], h[0], y[:, -1]), 1),
}


class Stacked(nn.Module):
    """Two bidirectional layers and a linear head."""

    def __init__(self, cell: Callable[..., nn.RNNBase], head: Head) -> None:
        super().__init__()
        self.rnn = cell(6, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.head, self.fc = head, nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        y, h = self.rnn(x)
        return self.fc(self.head(y, h[0] if isinstance(h, tuple) else h))  # type: ignore[no-any-return]


def written(path: Path, head: str, **options: Any) -> nn.Module:  # noqa: ANN401  those of export_model
    """Export a module and return it; both backends run the file."""
    torch.manual_seed(0)
    module = Stacked(nn.LSTM if len(head) % 2 else nn.GRU, HEADS[head]).eval()
    module(torch.zeros(1, 4, 6))
    assert export_model(module, torch.randn(1, 20, 6), path, **options).refused == {}
    return module


def answers(path: Path, backend: Backend, at: list[int]) -> Array:
    """Return the last answer of each push that has one, and that of finish()."""
    stream = load(path, backend).stream()
    given = [stream.push(FRAMES[a:b]) for a, b in pairwise(at)]
    return np.array([one for one in (*given, stream.finish()) if one is not None and len(one)])


@pytest.mark.parametrize("head", HEADS)
def test_a_head_on_all_layers_answers_at_its_end_as_offline(tmp_path: Path, head: str) -> None:
    module = written(tmp_path / "m.onnx", head)
    with torch.no_grad():
        wanted = module(torch.from_numpy(FRAMES[None]))[0].numpy()
    for backend in BACKENDS:
        (end,) = answers(tmp_path / "m.onnx", backend, [0, 7, 8, 40])
        np.testing.assert_allclose(end, wanted, atol=2e-6)


@pytest.mark.parametrize("head", HEADS)
def test_a_head_in_blocks_gives_the_same_answers_in_every_chunking(tmp_path: Path, head: str) -> None:
    written(tmp_path / "m.onnx", head, block=6, lookahead=3)
    each = list(range(41))
    found = {backend: answers(tmp_path / "m.onnx", backend, each) for backend in BACKENDS}
    np.testing.assert_allclose(found["native"], found["onnxruntime"], atol=2e-6)
    assert len(found["native"]) > 3
    for at in ([0, 40], [0, 13, 14, 31, 40]):
        np.testing.assert_array_equal(answers(tmp_path / "m.onnx", "native", at)[-1], found["native"][-1])


class Joined(nn.Module):
    """The final h of a forward layer next to the last frame of a convolution that looks ahead."""

    def __init__(self, *, final: bool) -> None:
        super().__init__()
        self.rnn, self.conv, self.fc = (
            nn.GRU(6, 5, batch_first=True),
            nn.Conv1d(6, 4, 3, padding="same"),
            nn.Linear(9, 3),
        )
        self.final = final

    def forward(self, x: Tensor) -> Tensor:
        y, h = self.rnn(x)
        late = self.conv(x.transpose(1, 2))[..., -1]
        return self.fc(torch.cat((h[0] if self.final else y[:, -1], late), 1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("final", [True, False])
def test_a_final_h_beside_a_value_that_looks_ahead_runs_on_both_backends(final: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert export_model(Joined(final=final), torch.randn(1, 20, 6), tmp_path / "m.onnx").refused == {}
