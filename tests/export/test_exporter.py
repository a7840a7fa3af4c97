"""Exports of modules as beginners write them."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.export import ExportReport, export_model
from tidegate.export.graph.axes import shape_of
from tidegate.quant import quantize
from tidegate.runtime.contract import Contract, Port, State
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from tools.torch_modules import EachFrame, LastAnswer, TwoDepths
from torch import Tensor, nn


class OwnZeros(LastAnswer):
    """Initial states made by hand, as in many tutorials."""

    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.zeros(2, x.size(0), 8)
        c0 = torch.zeros(2, x.size(0), 8)
        out, _ = self.lstm(x, (h0, c0))
        answer: Tensor = self.fc(out[:, -1, :])
        return answer


class Reshaped(LastAnswer):
    """Time folded into the batch for the linear layer."""

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(x)
        batch, time, width = out.shape
        answer: Tensor = self.fc(out.contiguous().view(-1, width)).view(batch, time, -1)
        return answer


class Features(LastAnswer):
    """Features before time, as for convolutions."""

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(x.transpose(1, 2))
        answer: Tensor = self.fc(out)
        return answer


class Samples(nn.Module):
    """Raw samples [batch, time]."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 4, batch_first=True)

    def forward(self, samples: Tensor) -> Tensor:
        answer: Tensor = self.lstm(samples.unsqueeze(-1))[0]
        return answer


class Ids(nn.Module):
    """Token ids [batch, time]."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.lstm = nn.LSTM(4, 4, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        answer: Tensor = self.lstm(self.embedding(ids))[0]
        return answer


class Named(LastAnswer):
    """Two answers in a dict."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override] # another answer on purpose
        out, (h, _) = self.lstm(x)
        return {"frames": out, "logits": self.fc(h[-1]), "memory": h}


def _example(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def _export(factory: Callable[[], nn.Module], example: object, folder: Path) -> ExportReport:
    torch.manual_seed(1)
    return export_model(factory(), example, folder / "m.onnx")


def _name(value: object) -> str | None:
    """Return the name of a parameter for pytest."""
    return getattr(value, "__name__", None)


def _lstm(*sizes: int, **options: bool | int) -> Callable[[], nn.Module]:
    def bare_lstm() -> nn.Module:
        return nn.LSTM(*sizes, **options)

    return bare_lstm


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_the_last_answer_model(tmp_path: Path, layers: int, batch_first: bool, bias: bool) -> None:
    example = _example(*((1, 20, 6) if batch_first else (20, 1, 6)))
    report = _export(lambda: LastAnswer(layers, batch_first=batch_first, bias=bias), example, tmp_path)
    time, batch = (1, 0) if batch_first else (0, 1)
    assert report.contract == Contract(
        inputs=(Port("x", time, batch),),
        outputs=(Port("output", None, 0),),
        states=tuple(State(f"lstm.{k}_in", f"lstm.{k}_out", k, (layers, "batch", 8)) for k in "hc"),
    )
    assert report.error < 1e-6


def test_the_file_has_the_contract_and_named_axes(tmp_path: Path) -> None:
    report = export_model(LastAnswer(), _example(1, 20, 6), tmp_path / "m.onnx", sample_rate=50, hop=2)
    graph = Graph.load(report.path)
    assert graph.contract == report.contract
    assert (report.contract.sample_rate, report.contract.hop) == (50.0, 2)
    assert report.bytes == (tmp_path / "m.onnx").stat().st_size
    assert report.exporter.startswith(f"torch {torch.__version__}")
    shapes = {item.name: shape_of(item) for item in (*graph.model.graph.input, *graph.model.graph.output)}
    assert shapes == {
        "x": ("batch", "time", 6),
        "output": ("batch", 7),
        **{f"lstm.{kind}": (2, "batch", 8) for kind in ("h_in", "c_in", "h_out", "c_out")},
    }


def test_the_file_runs_on_its_own_with_any_length_and_batch(tmp_path: Path) -> None:
    module = LastAnswer().eval()
    report = _export(lambda: module, _example(1, 20, 6), tmp_path)
    session = onnxruntime.InferenceSession(report.path, providers=["CPUExecutionProvider"])
    x = _example(3, 33, 6)
    states = {s.input: np.zeros(s.concrete_shape(3), np.float32) for s in report.contract.states}
    for chunk in torch.split(x, [1, 30, 2], dim=1):
        answer, h, c = session.run(["output", "lstm.h_out", "lstm.c_out"], {"x": chunk.numpy(), **states})
        states = {"lstm.h_in": h, "lstm.c_in": c}
    with torch.no_grad():
        np.testing.assert_allclose(answer, module(x).numpy(), rtol=0, atol=1e-6)


def test_the_file_says_nothing_of_the_machine_that_made_it(tmp_path: Path) -> None:
    data = _export(TwoDepths, _example(1, 20, 6), tmp_path).path.read_bytes()
    for text in (b".py", b"/home", b"site-packages", str(tmp_path).encode(), str(Path(__file__).parent).encode()):
        assert text not in data


def test_every_check_of_the_proof_is_reported(tmp_path: Path) -> None:
    report = _export(LastAnswer, _example(1, 20, 6), tmp_path)
    names = [check.name for check in report.checks]
    assert names[0] == "whole, at the example"
    assert "whole, at length 1, batch 1 (example: length 20, batch 1)" in names
    assert "whole, at length 20, batch 3 (example: length 20, batch 1)" in names
    assert "in chunks of 1 (20 chunks)" in names
    assert "lstm.h_in zeroed in layer 1" in names
    assert names[-1] == "lstm.h_in and lstm.c_in swapped"
    assert all(check.passed for check in report.checks)


@pytest.mark.parametrize(
    ("module", "shape", "inputs", "outputs"),
    [
        (EachFrame, (1, 20, 6), Port("x", 1, 0), [Port("output", 1, 0)]),
        (OwnZeros, (1, 20, 6), Port("x", 1, 0), [Port("output", None, 0)]),
        (Reshaped, (1, 20, 6), Port("x", 1, 0), [Port("output", 1, 0)]),
        (Features, (1, 6, 20), Port("x", 2, 0), [Port("output", 1, 0)]),
        (Samples, (1, 20), Port("samples", 1, 0), [Port("output", 1, 0)]),
        (Named, (2, 20, 6), Port("x", 1, 0), [Port("frames", 1, 0), Port("logits", None, 0)]),
        (_lstm(6, 4, batch_first=True), (3, 20, 6), Port("input", 1, 0), [Port("output", 1, 0)]),
    ],
    ids=_name,
)
def test_ports(
    tmp_path: Path, module: Callable[[], nn.Module], shape: tuple[int, ...], inputs: Port, outputs: list[Port]
) -> None:
    contract = _export(module, _example(*shape), tmp_path).contract
    assert contract.inputs == (inputs,)
    assert contract.outputs == tuple(outputs)


def test_token_ids(tmp_path: Path) -> None:
    contract = _export(Ids, torch.arange(11).reshape(1, 11), tmp_path).contract
    assert contract.inputs == (Port("ids", 1, 0),)


def test_two_modules_at_different_depths(tmp_path: Path) -> None:
    report = _export(TwoDepths, _example(1, 20, 6), tmp_path)
    assert [(state.input, state.shape) for state in report.contract.states] == [
        ("encoder.rnn.h_in", (2, "batch", 5)),
        ("encoder.rnn.c_in", (2, "batch", 5)),
        ("decoder.h_in", (1, "batch", 4)),
        ("decoder.c_in", (1, "batch", 4)),
    ]


@pytest.mark.parametrize("layers", [1, 2])
def test_final_states_that_a_module_returns_are_its_state_outputs(tmp_path: Path, layers: int) -> None:
    report = _export(_lstm(6, 4, layers), _example(20, 2, 6), tmp_path)
    assert report.folded == {"output_1": "lstm.h_out", "output_2": "lstm.c_out"}
    assert [item.name for item in Graph.load(report.path).model.graph.output] == ["output", "lstm.h_out", "lstm.c_out"]


class Optional(LastAnswer):
    """An answer and a None, as from modules with optional answers."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:  # type: ignore[override] # another answer on purpose
        return super().forward(x), None


def test_an_answer_that_is_none_is_left_out(tmp_path: Path) -> None:
    assert _export(Optional, _example(1, 20, 6), tmp_path).contract.outputs == (Port("output", None, 0),)


class OnlyState(LastAnswer):
    """Returns only the final state."""

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.lstm(x)[1][0]
        return h


@pytest.mark.parametrize("layers", [1, 2])
def test_a_final_state_that_is_the_only_answer_stays_one(tmp_path: Path, layers: int) -> None:
    report = _export(lambda: OnlyState(layers), _example(1, 20, 6), tmp_path)
    assert report.contract.outputs == (Port("output", None, 1),)
    assert report.folded == {}


@pytest.mark.parametrize("layers", [1, 2])
def test_an_unbatched_sequence(tmp_path: Path, layers: int) -> None:
    report = _export(_lstm(6, 4, layers), _example(20, 6), tmp_path)
    assert report.contract.inputs == (Port("input", 0, None),)
    assert report.contract.outputs == (Port("output", 0, None),)
    assert report.contract.states[0].shape == (layers, 1, 4)
    assert report.folded == {"output_1": "lstm.h_out", "output_2": "lstm.c_out"}


@pytest.mark.parametrize(
    "example",
    [_example(1, 20, 6).numpy(), _example(1, 20, 6).double(), _example(1, 20, 6).tolist(), (_example(1, 20, 6),)],
    ids=["numpy", "double", "list", "tuple"],
)
def test_examples_of_any_kind(tmp_path: Path, example: object) -> None:
    assert _export(LastAnswer, example, tmp_path).contract.inputs == (Port("x", 1, 0),)


def test_a_scripted_module(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit.script is
        scripted = torch.jit.script(EachFrame())
    assert _export(lambda: scripted, _example(1, 20, 6), tmp_path).contract.outputs == (Port("output", 1, 0),)


CELLS: dict[str, Callable[..., nn.RNNBase]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "tanh": nn.RNN,
    "relu": partial(nn.RNN, nonlinearity="relu"),
}


@given(
    kind=st.sampled_from(list(CELLS)),
    layers=st.integers(1, 3),
    hidden=st.integers(2, 9),
    bias=st.booleans(),
    batch_first=st.booleans(),
    chunks=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60)
def test_any_cell_streams_like_pytorch(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    kind: str,
    layers: int,
    hidden: int,
    bias: bool,
    batch_first: bool,
    chunks: list[int],
    seed: int,
) -> None:
    if kind == "relu":
        hidden += 10  # two or three ReLU units may all be dead, and a state that changes nothing is refused
    torch.manual_seed(seed)
    module = CELLS[kind](3, hidden, layers, bias=bias, batch_first=batch_first).eval()
    path = tmp_path_factory.mktemp("any") / "m.onnx"
    contract = export_model(module, _example(2, 9, 3), path).contract
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    axis = contract.inputs[0].time_axis or 0
    assert axis == int(batch_first)
    x = _example(*((2, sum(chunks), 3) if batch_first else (sum(chunks), 2, 3)))
    assert [state.kind for state in contract.states] == list("hc" if kind == "lstm" else "h")
    states = {s.input: np.zeros(s.concrete_shape(2), np.float32) for s in contract.states}
    pieces = []
    for chunk in torch.split(x, chunks, dim=axis):
        names = ["output", *(state.output for state in contract.states)]
        y, *carried = session.run(names, {"input": chunk.numpy(), **states})
        states = dict(zip(states, carried, strict=True))
        pieces.append(y)
    with torch.no_grad():
        whole, finals = module(x)
    np.testing.assert_allclose(np.concatenate(pieces, axis), whole.numpy(), rtol=0, atol=2e-6)
    for seen, wanted in zip(carried, finals if kind == "lstm" else [finals], strict=True):
        np.testing.assert_allclose(seen, wanted.numpy(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", ["gru", "tanh", "relu"])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(("layers", "bias"), [(1, True), (1, False), (2, True), (3, False)])
def test_other_cells_stream_on_both_backends(
    tmp_path: Path, *, kind: str, batch_first: bool, layers: int, bias: bool
) -> None:
    """From PyTorch through the quantizer: only activations differ, which are rounded to 16 bits."""
    example = _example(*((1, 20, 6) if batch_first else (20, 1, 6)))
    report = _export(lambda: CELLS[kind](6, 8, layers, batch_first=batch_first, bias=bias), example, tmp_path)
    assert all(check.passed for check in report.checks)
    assert not any("swapped" in check.name for check in report.checks)
    assert [state.kind for state in report.contract.states] == ["h"]
    assert quantize(report.path, tmp_path / "m.int8.onnx").backend.startswith("native")
    frames = _example(50, 6).numpy()
    seen, wanted = (load(tmp_path / "m.int8.onnx", backend).stream() for backend in ("native", "onnxruntime"))
    for chunk in np.split(frames, [1, 20, 23]):
        ours, theirs = (np.asarray(stream.push(chunk)) for stream in (seen, wanted))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-4 * max(1.0, float(np.abs(theirs).max())))


def test_the_checker_of_onnx_accepts_the_file(tmp_path: Path) -> None:
    onnx.checker.check_model(_export(TwoDepths, _example(1, 20, 6), tmp_path).path, full_check=True)
