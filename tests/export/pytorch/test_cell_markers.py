"""Cells as markers: the same states, one marker per call, nothing left behind."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tidegate.export import export_model
from tidegate.export.graph.markers import STEP_MARKERS, is_marker
from tidegate.export.pytorch.cell_markers import marking_cells
from tidegate.export.pytorch.module import LOOP_FRAMES, Subject
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.load import load
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


# ---- recurrent modules called for one frame at a time ----


class LayerLoop(nn.Module):
    """A recurrent module in a loop over time, its state carried."""

    def __init__(self, kind: Any, **options: Any) -> None:  # noqa: ANN401  a class of torch
        super().__init__()
        self.rnn, self.fc = kind(6, 8, **options), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        time, state, answers = 1 if self.rnn.batch_first else 0, None, []
        for t in range(x.size(time)):
            y, state = self.rnn(x.narrow(time, t, 1), state)
            answers.append(self.fc(y))
        return torch.cat(answers, time)


class FromZeros(LayerLoop):
    """States of its own making, a frame without its axis of time, and the answer of the last frame."""

    def forward(self, x: Tensor) -> Tensor:
        h, y = torch.zeros(self.rnn.num_layers, x.size(0), 8), x
        for t in range(x.size(1)):
            y, h = self.rnn(x[:, t].unsqueeze(1), h)
        answer: Tensor = self.fc(y[:, -1])
        return answer


LOOPS: dict[str, Callable[[], nn.Module]] = {
    "LSTM": partial(LayerLoop, nn.LSTM, batch_first=True),
    "layers": partial(LayerLoop, nn.LSTM, num_layers=2, batch_first=True),
    "GRU, time first": partial(LayerLoop, nn.GRU),
    "RNN without biases": partial(LayerLoop, nn.RNN, num_layers=3, nonlinearity="relu", bias=False),
    "from zeros": partial(FromZeros, nn.GRU, num_layers=2, batch_first=True),
    "from zeros, one layer": partial(FromZeros, nn.RNN, batch_first=True),
}


@pytest.mark.parametrize("name", LOOPS)
def test_row_60_layers_called_frame_by_frame_stream_as_their_module(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    module, x = LOOPS[name]().eval(), torch.linspace(-2, 2, 66).reshape(11, 6).sin()
    time = 1 if module.get_submodule("rnn").batch_first else 0
    report = export_model(module, x[:9].unsqueeze(1 - time), tmp_path / "m.onnx")
    assert [state.input for state in report.contract.states] == ["rnn.h_in", "rnn.c_in"][: len(report.contract.states)]
    with torch.no_grad():
        wanted = module(x.unsqueeze(1 - time)).numpy().reshape(-1, 3)
    stream = load(report.path).stream()
    seen = [np.atleast_2d(np.asarray(stream.push(chunk))) for chunk in np.split(x.numpy(), [1, 4])]
    answers = np.concatenate(seen) if len(wanted) > 1 else seen[-1]
    np.testing.assert_allclose(answers, wanted, atol=1e-6)


class InChunks(LayerLoop):
    """Two frames per call."""

    def forward(self, x: Tensor) -> Tensor:
        state, answers = None, []
        for t in range(0, x.size(1), 2):
            y, state = self.rnn(x[:, t : t + 2], state)
            answers.append(self.fc(y))
        return torch.cat(answers, 1)


class WayOut(LayerLoop):
    """The way out: the whole sequence in one call."""

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.fc(self.rnn(x)[0])
        return answer


def test_a_loop_over_chunks_is_refused_and_its_way_out_streams(tmp_path: Path) -> None:
    example = torch.linspace(-1, 1, 48).reshape(1, 8, 6)
    with pytest.raises(
        UnsupportedError, match=r"'rnn' is called 4 times .*; give it the whole sequence in one call, or"
    ):
        export_model(InChunks(nn.GRU, batch_first=True), example, tmp_path / "m.onnx")
    assert export_model(WayOut(nn.GRU, batch_first=True), example, tmp_path / "m.onnx").path.exists()
    assert export_model(LayerLoop(nn.GRU, batch_first=True), example, tmp_path / "m.onnx").path.exists()


@pytest.mark.parametrize("options", [{"bidirectional": True}, {"proj_size": 4}])
def test_a_loop_over_a_layer_that_is_no_cell_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    module = LayerLoop(nn.LSTM, batch_first=True, **options)
    module.fc = nn.Linear(4 if "proj_size" in options else 16, 3)
    with pytest.raises(UnsupportedError, match="'rnn' is called 8 times in one forward, wanted once"):
        export_model(module, torch.linspace(-1, 1, 48).reshape(1, 8, 6), tmp_path / "m.onnx")
