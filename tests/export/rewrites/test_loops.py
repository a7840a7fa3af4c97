"""nn.LSTMCell, nn.GRUCell and nn.RNNCell in Python loops over time, as users write them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tidegate.export import ExportReport, export_model
from tidegate.quant import quantize
from tidegate.runtime.arrays import Answer, Array
from tidegate.runtime.contract import Port
from tidegate.runtime.errors import ExportError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from torch import Tensor, nn

CELLS: dict[str, Callable[..., nn.RNNCellBase]] = {
    "lstm": nn.LSTMCell,
    "gru": nn.GRUCell,
    "tanh": nn.RNNCell,
    "relu": partial(nn.RNNCell, nonlinearity="relu"),
}


def first(state: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """Return h from a cell's answer."""
    return state[0] if isinstance(state, tuple) else state


class EachFrame(nn.Module):
    """One answer per frame; further layers inside the loop."""

    def __init__(self, kind: str, *, bias: bool = True) -> None:
        super().__init__()
        self.front, self.norm = nn.Linear(6, 5), nn.LayerNorm(9)
        self.cell, self.fc = CELLS[kind](5, 9, bias=bias), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        state, answers = None, []
        for t in range(x.size(1)):
            state = self.cell(torch.relu(self.front(x[:, t])), state)
            answers.append(self.fc(self.norm(first(state))))
        return torch.stack(answers, dim=1)


class LastFrame(nn.Module):
    """Initial zeros made by hand, time first; answers for the last frame."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.cell, self.fc = CELLS[kind](6, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.size(1), 9)
        state = (h, torch.zeros_like(h)) if isinstance(self.cell, nn.LSTMCell) else h
        for frame in x:
            state = self.cell(frame, state)
        answer: Tensor = self.fc(first(state))
        return answer


class Stacked(nn.Module):
    """Two cells, one after the other, in one loop."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = nn.LSTMCell(6, 8), nn.GRUCell(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        low, high, answers = None, None, []
        for t in range(x.shape[1]):
            low = self.low(x[:, t, :], low)
            high = self.high(torch.cat([low[0], low[0].tanh()], 1)[:, 4:12], high)
            answers.append(high)
        return torch.stack(answers, 1)


class LayerByLayer(nn.Module):
    """A loop over the whole sequence for each layer, then an nn.LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList([nn.LSTMCell(6, 8), nn.LSTMCell(8, 8)])
        self.lstm = nn.LSTM(8, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        for cell in self.cells:
            state, answers = None, []
            for frame in x.unbind(1):
                state = cell(frame, state)
                answers.append(state[0])
            x = torch.stack(answers, 1)
        answer: Tensor = self.lstm(x)[0]
        return answer


class SineWaves(nn.Module):
    """The example of PyTorch's own repository: samples, split(), cat(), and `future`, which is 0 by default."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm1, self.lstm2, self.linear = nn.LSTMCell(1, 51), nn.LSTMCell(51, 51), nn.Linear(51, 1)

    def forward(self, samples: Tensor, future: int = 0) -> Tensor:
        outputs = []
        h_t = torch.zeros(samples.size(0), 51)
        c_t, h_t2, c_t2 = h_t, h_t, h_t
        output = h_t
        for input_t in samples.split(1, dim=1):  # type: ignore[no-untyped-call]
            h_t, c_t = self.lstm1(input_t, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        for _ in range(future):
            h_t, c_t = self.lstm1(output, (h_t, c_t))
        return torch.cat(outputs, dim=1)


class Tokens(nn.Module):
    """Token ids with a lookup inside the loop; the final state is returned too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.cell, self.fc = nn.Embedding(11, 4), nn.GRUCell(4, 8), nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.zeros(ids.size(0), 8)
        for t in range(ids.shape[1]):
            h = self.cell(self.embedding(ids[:, t]), h)
        return self.fc(h), h


class Unbatched(nn.Module):
    """A sequence without a batch, after a causal convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.cell = nn.Conv1d(6, 5, 3), nn.LSTMCell(5, 8)

    def forward(self, x: Tensor) -> Tensor:
        state, answers = None, []
        for frame in self.conv(nn.functional.pad(x.T.unsqueeze(0), (2, 0)))[0].T:
            state = self.cell(frame, state)
            answers.append(state[0])
        return torch.stack(answers)


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **{f"each frame, {kind}": (partial(EachFrame, kind), (1, 20, 6)) for kind in CELLS},
    **{f"each frame, {kind}, no bias": (partial(EachFrame, kind, bias=False), (2, 9, 6)) for kind in CELLS},
    **{f"last frame, {kind}": (partial(LastFrame, kind), (20, 3, 6)) for kind in CELLS},
    "stacked": (Stacked, (2, 20, 6)),
    "layer by layer": (LayerByLayer, (1, 20, 6)),
    "sine waves": (SineWaves, (3, 20)),
    "tokens": (Tokens, ()),
    "a single frame": (partial(EachFrame, "gru"), (1, 1, 6)),
}
ONNXRUNTIME_ONLY = ("sine waves",)  # the engine needs an axis of features


def by_name(answer: Answer) -> dict[str, Array]:
    """Return answers by name, also if there is only one."""
    return answer if isinstance(answer, dict) else {"output": answer}


def export(factory: Callable[[], nn.Module], folder: Path, shape: tuple[int, ...]) -> ExportReport:
    torch.manual_seed(1)
    example = torch.randn(shape) if shape else torch.arange(11)[None]
    return export_model(factory(), example, folder / "m.onnx")


@pytest.mark.parametrize("name", MODELS)
def test_a_loop_over_a_cell_streams_on_both_backends(name: str, tmp_path: Path) -> None:
    factory, shape = MODELS[name]
    report = export(factory, tmp_path, shape)
    assert report.error < 2e-6
    made = quantize(report.path, tmp_path / "m.int8.onnx")
    if name in ONNXRUNTIME_ONLY:
        assert made.backend == "onnxruntime"
        return
    assert made.backend.startswith("native")
    frames = np.arange(40) % 11 if name == "tokens" else np.random.default_rng(1).normal(0, 1, (40, 6)).astype("f4")
    native, other = (load(report.path, backend).stream() for backend in ("native", "onnxruntime"))
    for chunk in np.split(frames, [1, 20, 23]):
        seen, wanted = native.push(chunk), other.push(chunk)
        for key, values in by_name(wanted).items():
            np.testing.assert_allclose(by_name(seen)[key], values, rtol=0, atol=2e-6)


def test_the_loop_is_one_node_with_the_names_of_pytorch(tmp_path: Path) -> None:
    report = export(Stacked, tmp_path, (1, 20, 6))
    model = Graph.load(report.path).model
    kinds = [node.op_type for node in model.graph.node]
    assert (kinds.count("LSTM"), kinds.count("GRU")) == (1, 1)
    assert {opset.domain for opset in model.opset_import} == {""}
    weights = {tensor.name for tensor in model.graph.initializer}
    assert {"low.weight_ih", "low.weight_hh", "high.weight_ih", "high.weight_hh"} <= weights
    assert [(state.input, state.shape) for state in report.contract.states] == [
        ("low.h_in", (1, "batch", 8)),
        ("low.c_in", (1, "batch", 8)),
        ("high.h_in", (1, "batch", 5)),
    ]
    onnx.checker.check_model(model, full_check=True)


def test_an_unbatched_loop(tmp_path: Path) -> None:
    report = export(Unbatched, tmp_path, (20, 6))
    assert report.contract.inputs == (Port("x", 0, None),)
    assert [state.shape for state in report.contract.states] == [(1, 6, 2), (1, 1, 8), (1, 1, 8)]


def test_torch_is_as_before(tmp_path: Path) -> None:
    before = nn.LSTMCell.forward
    export(Stacked, tmp_path, (1, 20, 6))
    assert nn.LSTMCell.forward is before


class Damped(EachFrame):
    """h is changed between two steps."""

    def forward(self, x: Tensor) -> Tensor:
        h, answers = torch.zeros(x.size(0), 9), []
        for t in range(x.size(1)):
            h = 0.5 * self.cell(self.front(x[:, t]), h)
            answers.append(h)
        return torch.stack(answers, 1)


class Feedback(EachFrame):
    """Each step reads the answer of the step before."""

    def forward(self, x: Tensor) -> Tensor:
        h, answer, answers = None, torch.zeros(x.size(0), 3), []
        for t in range(x.size(1)):
            h = self.cell(torch.cat([x[:, t, :2], answer], 1), h)
            answer = self.fc(h)
            answers.append(answer)
        return torch.stack(answers, 1)


class Backwards(EachFrame):
    """The loop runs backward in time."""

    def forward(self, x: Tensor) -> Tensor:
        h, answers = None, []
        for t in reversed(range(x.size(1))):
            h = self.cell(self.front(x[:, t]), h)
            answers.append(h)
        return torch.stack(answers[::-1], 1)


class Shared(EachFrame):
    """One cell for two sequences."""

    def forward(self, x: Tensor) -> Tensor:
        states: list[Tensor | None] = [None, None]
        for t in range(x.size(1)):
            states = [self.cell(self.front(x[:, t] * (i + 1)), state) for i, state in enumerate(states)]
        return torch.cat([state for state in states if state is not None], 1)


class EveryOther(EachFrame):
    """The steps differ, so the loop is not one recurrence."""

    def forward(self, x: Tensor) -> Tensor:
        h, answers = None, []
        for t in range(x.size(1)):
            h = self.cell(self.front(x[:, t]) * (1 + t % 2), h)
            answers.append(h)
        return torch.stack(answers, 1)


class Attending(EachFrame):
    """A step sorts its features, and TopK is not known to act on each frame by itself."""

    def forward(self, x: Tensor) -> Tensor:
        h, answers = None, []
        for t in range(x.size(1)):
            h = self.cell(self.front(x[:, t]).topk(5, dim=1).values, h)
            answers.append(h)
        return torch.stack(answers, 1)


class FromFirst(EachFrame):
    """Each step compares its frame with the first one, which looks like the frame of the first step."""

    def forward(self, x: Tensor) -> Tensor:
        h, answers = None, []
        for t in range(x.size(1)):
            h = self.cell(self.front(x[:, t] - x[:, 0]), h)
            answers.append(h)
        return torch.stack(answers, 1)


class AnswersWithFirst(EachFrame):
    """The answers, not the cell, read the first frame."""

    def forward(self, x: Tensor) -> Tensor:
        h, answers = None, []
        for t in range(x.size(1)):
            h = self.cell(self.front(x[:, t]), h)
            answers.append(h[:, :6] + x[:, 0])
        return torch.stack(answers, 1)


class FromArgument(EachFrame):
    """The same, as the message advises: the frame is an argument of its own."""

    def forward(self, x: Tensor, first: Tensor) -> Tensor:  # type: ignore[override]
        h, answers = None, []
        for t in range(x.size(1)):
            h = self.cell(self.front(x[:, t] - first), h)
            answers.append(h)
        return torch.stack(answers, 1)


@pytest.mark.parametrize("module", [FromFirst, AnswersWithFirst])
def test_row_157_a_loop_that_reads_the_first_frame_in_each_step_is_refused_by_that_cause(
    module: type[EachFrame], tmp_path: Path
) -> None:
    message = (
        "each step of the loop reads the first frame of 'x', wanted its own frame only: .*; let the forward take that "
        "frame as an argument of its own without an axis of time, which a caller sets for each stream"
    )
    with pytest.raises(UnsupportedError, match=message):
        export_model(module("gru"), torch.randn(1, 20, 6), tmp_path / "m.onnx")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        report = export_model(FromArgument("gru"), (torch.randn(1, 20, 6), torch.randn(1, 6)), tmp_path / "m.onnx")
    assert "first" in [state.input for state in report.contract.states if state.kind == "static"]


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        (Damped, UnsupportedError, "GRUCell '/cell/GRUCell': its h at step 1 comes from Mul '/Mul', wanted its own"),
        (Feedback, UnsupportedError, "'/cell/GRUCell': its input at step 1 depends on another step"),
        (Backwards, UnsupportedError, "'/cell/GRUCell': it reads no frame of a sequence at its first step; let the"),
        (Shared, UnsupportedError, "'/cell/GRUCell': its h at step 1 comes from .*; use one cell for one sequence"),
        (EveryOther, ExportError, "whole, at the example: output 'output' at .*frame 1: seen"),
        (Attending, UnsupportedError, "TopK '/TopK': is in the loop over time and not known to act on each"),
    ],
)
def test_what_cannot_stream_is_refused_by_name(
    module: Callable[[str], nn.Module], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        export(partial(module, "gru"), tmp_path, (1, 20, 6))
    assert not list(tmp_path.iterdir())
