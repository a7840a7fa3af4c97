"""Cells as markers: the same states, one marker per call, nothing left behind."""

from functools import partial
from typing import Any

import pytest
import torch
from tidegate.export.graph.markers import STEP_MARKERS, is_marker
from tidegate.export.pytorch.cell_markers import marking_cells
from tidegate.export.pytorch.module import LOOP_FRAMES, Subject
from torch import Tensor, nn

KINDS: dict[str, Any] = {
    "LSTM": nn.LSTMCell,
    "GRU": nn.GRUCell,
    "Tanh": nn.RNNCell,
    "Relu": partial(nn.RNNCell, nonlinearity="relu"),
}


def _flat(state: Any) -> tuple[Tensor, ...]:  # noqa: ANN401  a state or a pair of them
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no biases"])
@pytest.mark.parametrize("batch", [(3,), ()], ids=["batch", "no batch"])
@pytest.mark.parametrize("started", [True, False], ids=["from a state", "from zeros"])
def test_markers_compute_what_the_cell_computes(
    kind: str, batch: tuple[int, ...], *, bias: bool, started: bool
) -> None:
    torch.manual_seed(0)
    cell, x, h = KINDS[kind](4, 6, bias=bias), torch.randn(*batch, 4), torch.randn(*batch, 6)
    state = None if not started else (h, torch.randn(*batch, 6)) if kind == "LSTM" else h
    with torch.no_grad():
        wanted = cell(x, state)
        with marking_cells():
            seen = cell(x, state)
    for ours, theirs in zip(_flat(seen), _flat(wanted), strict=True):
        torch.testing.assert_close(ours, theirs)


class Loop(nn.Module):
    """A cell in a loop over time."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.cell = KINDS[kind](4, 6)

    def forward(self, x: Tensor) -> Tensor:
        state, answers = None, []
        for t in range(x.size(1)):
            state = self.cell(x[:, t], state)
            answers.append(_flat(state)[0])
        return torch.stack(answers, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trace_has_one_marker_per_step_of_the_first_frames(kind: str) -> None:
    subject = Subject(Loop(kind), torch.randn(2, 50, 4))
    with subject.evaluating():
        subject.try_example()
        model = subject.trace((0, 1))
    assert sum(is_marker(node, STEP_MARKERS[kind]) for node in model.graph.node) == LOOP_FRAMES


def test_torch_is_as_before_afterwards_also_if_the_trace_fails() -> None:
    before = [nn.LSTMCell.forward, nn.GRUCell.forward, nn.RNNCell.forward]
    with pytest.raises(ZeroDivisionError), marking_cells():
        raise ZeroDivisionError
    assert [nn.LSTMCell.forward, nn.GRUCell.forward, nn.RNNCell.forward] == before
