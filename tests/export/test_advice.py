"""Advice that was followed: the way out that a message names leads to a stream that equals the module."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tidegate.export import export_model, lift
from tidegate.runtime.errors import ContractError, ModelError, UnsupportedError
from tidegate.runtime.load import load
from torch import Tensor, nn

EXAMPLE = torch.linspace(-1, 1, 54).reshape(1, 9, 6)
pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporter that an author uses


def _streamed(path: Path, frames: Tensor) -> np.ndarray:
    """Return the first output of a stream, frame by frame."""
    stream = load(path).stream()
    answers = [stream.push(frame[None].numpy()) for frame in frames]
    return np.concatenate([next(iter(a.values())) if isinstance(a, dict) else a for a in answers])


# ---- a forward of one frame per call ----


class Policy(nn.Module):
    """One observation and the state per call."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.actor = nn.LSTM(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, (h, c) = self.rnn(x.unsqueeze(0), (h, c))
        return self.actor(y.squeeze(0)), h, c


class Sequence(Policy):
    """All frames of a sequence per call."""

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, (h, c) = self.rnn(x.transpose(0, 1), (h, c))
        return self.actor(y).transpose(0, 1), h, c


class CellPolicy(nn.Module):
    """One observation and the state of a cell per call."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.actor = nn.GRUCell(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.rnn(x, h)
        return self.actor(h), h


class CellSequence(CellPolicy):
    """All frames of a sequence per call."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        answers = []
        for t in range(x.size(1)):
            answer, h = super().forward(x[:, t], h)
            answers.append(answer)
        return torch.stack(answers, 1), h


def _frame_by_frame(policy: nn.Module, *states: Tensor) -> np.ndarray:
    answers, given = [], states
    with torch.no_grad():
        for frame in EXAMPLE[0]:
            answer, *given = policy(frame[None], *given)
            answers.append(answer.numpy())
    return np.concatenate(answers)


def test_row_63_a_policy_of_one_frame_per_call_streams_both_ways_that_the_message_names(tmp_path: Path) -> None:
    policy, states, path = Policy().eval(), (torch.zeros(1, 1, 8), torch.zeros(1, 1, 8)), tmp_path / "m.onnx"
    wanted = _frame_by_frame(policy, *states)
    message = (
        "let it take all frames of a sequence, or write it for one stream with torch.onnx.export and give the file to "
        "`tidegate lift`"
    )
    with pytest.raises(ContractError, match=message):
        export_model(policy, (EXAMPLE[:, 0], *states), path)
    whole = Sequence()
    whole.load_state_dict(policy.state_dict())
    export_model(whole, (EXAMPLE, *states), path)
    np.testing.assert_allclose(_streamed(path, EXAMPLE[0]), wanted, atol=1e-6)
    names = {"input_names": ["x", "h", "c"], "output_names": ["y", "hn", "cn"]}
    torch.onnx.export(policy, (EXAMPLE[:, 0], *states), tmp_path / "own.onnx", dynamo=False, **names)  # type: ignore[arg-type]
    lift(tmp_path / "own.onnx", path)
    np.testing.assert_allclose(_streamed(path, EXAMPLE[0]), wanted, atol=1e-6)


def test_a_policy_of_one_cell_streams_as_the_message_says(tmp_path: Path) -> None:
    policy, h, path = CellPolicy().eval(), torch.zeros(1, 8), tmp_path / "m.onnx"
    with pytest.raises(UnsupportedError, match="for a forward of one frame per call, let it take all frames of a seq"):
        export_model(policy, (EXAMPLE[:, 0], h), path)
    whole = CellSequence()
    whole.load_state_dict(policy.state_dict())
    export_model(whole, (EXAMPLE, h), path)
    np.testing.assert_allclose(_streamed(path, EXAMPLE[0]), _frame_by_frame(policy, h), atol=1e-6)


# ---- a cell written out of other layers ----


class WrittenOut(nn.Module):
    """An LSTM's cell out of two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 32), nn.Linear(8, 32)

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Compute one step."""
        i, f, g, o = (self.a(x) + self.b(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(x.shape[0], 8)
        answers = []
        for t in range(x.shape[1]):
            h, c = self.step(x[:, t], h, c)
            answers.append(h)
        return torch.stack(answers, 1)


def test_row_64_a_cell_written_out_streams_as_its_module(tmp_path: Path) -> None:
    module, path = WrittenOut().eval(), tmp_path / "m.onnx"
    export_model(module, EXAMPLE, path)
    with torch.no_grad():
        np.testing.assert_allclose(_streamed(path, EXAMPLE[0]), module(EXAMPLE)[0].numpy(), atol=1e-6)


def test_a_layer_that_an_exporter_unrolled_is_exported_in_both_ways_of_the_message(tmp_path: Path) -> None:
    class Unrolled(nn.Module):
        """A cell in a loop of three frames."""

        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.RNNCell(6, 8)

        def forward(self, x: Tensor) -> Tensor:
            h, answers = x.new_zeros(8), []
            for t in range(3):
                h = self.cell(x[t], h)
                answers.append(h)
            return torch.stack(answers)

    torch.onnx.export(Unrolled(), (EXAMPLE[0],), tmp_path / "own.onnx", dynamo=False)
    message = r"export the module itself \(`tidegate export`\), or with torch.onnx.export\(..., dynamo=False\)"
    with pytest.raises(ModelError, match=rf"3 nodes of Tanh.* may be an unrolled layer: {message}"):
        lift(tmp_path / "own.onnx", tmp_path / "m.onnx")
    module = nn.RNN(6, 8, batch_first=True)
    export_model(module, EXAMPLE, tmp_path / "m.onnx")
    names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch", 1: "time"}}}
    torch.onnx.export(module, (EXAMPLE,), tmp_path / "own.onnx", dynamo=False, **names)  # type: ignore[arg-type]
    lift(tmp_path / "own.onnx", tmp_path / "m.onnx")


# ---- refusals of modules whose way out is one call ----


def test_a_module_in_float64_streams_after_float(tmp_path: Path) -> None:
    module = nn.LSTM(6, 8, batch_first=True).double()
    with pytest.raises(Exception, match=r"is torch.float64, wanted torch.float32; call module.float\(\) first"):
        export_model(module, EXAMPLE, tmp_path / "m.onnx")
    export_model(module.float(), EXAMPLE, tmp_path / "m.onnx")


def test_a_batch_norm_without_statistics_streams_with_them(tmp_path: Path) -> None:
    def net(*, kept: bool) -> nn.Module:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.norm, self.rnn = nn.BatchNorm1d(6, track_running_stats=kept), nn.GRU(6, 8, batch_first=True)

            def forward(self, x: Tensor) -> Tensor:
                answer: Tensor = self.rnn(self.norm(x.transpose(1, 2)).transpose(1, 2))[0]
                return answer

        return Net()

    with pytest.raises(Exception, match="train it with track_running_stats=True"):
        export_model(net(kept=False), EXAMPLE, tmp_path / "m.onnx")
    export_model(net(kept=True), EXAMPLE, tmp_path / "m.onnx")


def test_an_lstm_of_two_directions_with_projection_streams_without_one_of_them(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self, **options: int) -> None:
            super().__init__()
            self.rnn = nn.LSTM(6, 8, batch_first=True, **options)

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.rnn(x)[0]
            return answer

    with pytest.raises(UnsupportedError, match="use bidirectional=False, or no proj_size"):
        export_model(Net(bidirectional=True, proj_size=4), EXAMPLE, tmp_path / "m.onnx")
    export_model(Net(bidirectional=True), EXAMPLE, tmp_path / "m.onnx")
    export_model(Net(proj_size=4), EXAMPLE, tmp_path / "m.onnx")


def test_functions_of_a_file_are_inlined_as_the_message_says(tmp_path: Path) -> None:
    from onnx import helper, inliner

    torch.onnx.export(nn.GRU(6, 8, batch_first=True), (EXAMPLE,), tmp_path / "own.onnx", dynamo=False)
    model = onnx.load(tmp_path / "own.onnx")
    same = helper.make_function(
        "own", "Same", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], model.opset_import
    )
    model.functions.append(same)
    model.opset_import.append(helper.make_opsetid("own", 1))
    first = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["same" if name == first else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Same", [first], ["same"], domain="own"))
    onnx.save(model, tmp_path / "own.onnx")
    with pytest.raises(ModelError, match=r"inline it \(onnx.inliner.inline_local_functions\) and save it again"):
        lift(tmp_path / "own.onnx", tmp_path / "m.onnx")
    onnx.save(inliner.inline_local_functions(model), tmp_path / "own.onnx")
    lift(tmp_path / "own.onnx", tmp_path / "m.onnx")


class Scripted(nn.Module):
    """A loop that torch.jit.script keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h, c = torch.zeros(x.shape[0], 8), torch.zeros(x.shape[0], 8)
        answers: list[Tensor] = []
        for t in range(x.shape[1]):
            h, c = self.cell(x[:, t], (h, c))
            answers.append(h)
        answer: Tensor = self.head(torch.stack(answers, 1))
        return answer


def test_a_scripted_loop_is_lifted_as_the_message_says(tmp_path: Path) -> None:
    module, path = torch.jit.script(Scripted().eval()), tmp_path / "m.onnx"
    message = r"Loop '/Loop': wanted one of .*; use nn.LSTM, nn.GRU or nn.RNN, or write the model with torch.onnx.expor"
    with pytest.raises(UnsupportedError, match=message + "t and give the file to `tidegate lift`"):
        export_model(module, EXAMPLE, path)
    names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch", 1: "time"}}}
    torch.onnx.export(module, (EXAMPLE,), tmp_path / "own.onnx", dynamo=False, **names)  # type: ignore[arg-type]
    assert lift(tmp_path / "own.onnx", path).done[0] == "Loop '/Loop' is LSTM of all frames now."
    with torch.no_grad():
        np.testing.assert_allclose(_streamed(path, EXAMPLE[0]), module(EXAMPLE)[0].numpy(), atol=1e-6)


class Cached(nn.Module):
    """A causal convolution that takes its last frames as an input, at half their size, and returns the next ones."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.rnn = nn.Conv1d(6, 6, 3), nn.GRU(6, 8, batch_first=True)

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat([2 * cache, x.transpose(1, 2)], 2)
        return self.rnn(self.conv(joined).transpose(1, 2))[0], joined[:, :, -2:] / 2


class Padded(Cached):
    """The same convolution, with zeros on the left in place of the input."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        padded = nn.functional.pad(x.transpose(1, 2), (2, 0))
        answer: Tensor = self.rnn(self.conv(padded).transpose(1, 2))[0]
        return answer


def test_a_cache_that_starts_no_layer_streams_as_zeros_of_the_module(tmp_path: Path) -> None:
    cached, padded, path = Cached().eval(), Padded().eval(), tmp_path / "m.onnx"
    padded.load_state_dict(cached.state_dict())
    names = {"input_names": ["x", "cache"], "output_names": ["y", "cache_out"]}
    free = {"dynamic_axes": {"x": {1: "time"}, "y": {1: "time"}}}
    example = (EXAMPLE, torch.zeros(1, 6, 2))
    torch.onnx.export(cached, example, tmp_path / "own.onnx", dynamo=False, **names, **free)  # type: ignore[arg-type]
    message = r"state input 'cache' \(fed by 'cache_out'\) starts no LSTM, GRU or RNN, .*: let the module pad on the "
    with pytest.raises(UnsupportedError, match=message):
        lift(tmp_path / "own.onnx", path)
    export_model(padded, EXAMPLE, path)
    with torch.no_grad():
        np.testing.assert_allclose(_streamed(path, EXAMPLE[0]), cached(*example)[0][0].numpy(), atol=1e-6)
