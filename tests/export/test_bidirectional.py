"""Bidirectional layers as their authors write them: streamed in blocks, and equal to offline at finish()."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.export import export_model
from tidegate.quant import quantize
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import METADATA_KEY, Blocks
from tidegate.runtime.errors import ChunkError, ContractError, SnapshotError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.inspection import inspect_file
from tidegate.runtime.load import Backend, compile_model, load
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.reference import ReferenceStream
from tidegate.runtime.streams import Model, Stream
from tools.streams import cuts
from torch import Tensor, nn

BACKENDS: list[Backend] = ["native", "onnxruntime"]
TOLERANCE = 1e-5
FRAMES = np.random.default_rng(1).normal(0, 1, (40, 6)).astype(np.float32)


class BiLSTMClassifier(nn.Module):
    """Map token ids `[batch, frames]` to three scores, from the last h of both directions."""

    def __init__(self, vocabulary: int = 10000, size: int = 128, hidden: int = 256) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, size)
        self.dropout = nn.Dropout(0.5)
        self.lstm = nn.LSTM(size, hidden, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(self.dropout(self.embedding(x)))
        return self.fc(self.dropout(torch.cat((hidden[0], hidden[1]), 1)))  # type: ignore[no-any-return]


class Tagger(nn.Module):
    """Map frames `[batch, frames, 6]` to three scores per frame."""

    def __init__(self, cell: Callable[..., nn.RNNBase], layers: int) -> None:
        super().__init__()
        self.rnn = cell(6, 5, num_layers=layers, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[0])  # type: ignore[no-any-return]


class Deep(nn.Module):
    """Two layers, time first: scores from the last h of the upper layer, and h of both directions per frame."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.rnn = nn.LSTM(6, 4), nn.GRU(4, 5, num_layers=2, bidirectional=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, hidden = self.rnn(self.before(x)[0])
        return torch.cat((hidden[-2], hidden[-1]), 1), y


def relu(*args: Any, **kwargs: Any) -> nn.RNN:  # noqa: ANN401  those of nn.RNN
    return nn.RNN(*args, nonlinearity="relu", **kwargs)


def streamed(stream: Stream, frames: Array, at: Sequence[int]) -> list[Array]:
    """Return the answers of the pushes and of finish()."""
    answers = [stream.push(frames[a:b]) for a, b in pairwise(at) if b > a]
    rest = stream.finish()
    return [np.asarray(answer) for answer in (*answers, *([] if rest is None else [rest]))]


def offline(module: nn.Module, frames: Array) -> Array:
    with torch.no_grad():
        return np.asarray(module.eval()(torch.from_numpy(frames[None]))[0])


def error(seen: Array, wanted: Array) -> float:
    assert seen.shape == wanted.shape
    return float(np.abs(seen - wanted).max() / np.abs(wanted).max())


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    torch.manual_seed(0)
    module = BiLSTMClassifier()
    path = tmp_path_factory.mktemp("classifier") / "m.onnx"
    report = export_model(module, torch.randint(0, 10000, (2, 20)), path)
    assert report.error < TOLERANCE
    assert report.contract.blocks == Blocks(None, 0, 4096)
    assert report.contract.lookahead is None
    return path, module


@pytest.mark.parametrize("backend", BACKENDS)
def test_classifier_answers_at_its_end_as_offline(classifier: tuple[Path, nn.Module], backend: Backend) -> None:
    path, module = classifier
    ids = np.random.default_rng(0).integers(0, 10000, 70)
    stream = load(path, backend).stream()
    *pushed, end = streamed(stream, ids, [0, 1, 30, 70])
    assert [answer.shape for answer in pushed] == [(0,)] * 3
    seen = error(end, offline(module, ids))
    print(f"{backend}: {seen:.1e} of the largest value")
    assert seen < TOLERANCE
    assert stream.frames == 70


def test_classifier_has_the_same_bits_however_it_is_cut(classifier: tuple[Path, nn.Module]) -> None:
    model = load(classifier[0])
    ids = np.random.default_rng(0).integers(0, 10000, 50)
    ends = [streamed(model.stream(), ids, at)[-1] for at in ([0, 50], [0, 1, 2, 3, 50], list(range(51)))]
    for end in ends[1:]:
        np.testing.assert_array_equal(end, ends[0], strict=True)


@pytest.fixture(scope="module", params=["lstm1", "lstm2", "gru2", "tanh3", "relu1"])
def tagger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    cell, layers = request.param[:-1], int(request.param[-1])
    torch.manual_seed(0)
    cells: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "tanh": nn.RNN, "relu": relu}
    module = Tagger(cells[cell], layers)
    path = tmp_path_factory.mktemp("tagger") / "m.onnx"
    export_model(module, torch.randn(2, 20, 6), path)
    return path, module


def with_blocks(path: Path, block: int, lookahead: int, layers: int) -> Graph:
    """Return the file with other blocks, as its export would have written it."""
    graph = Graph.load(path)
    lag = layers * (block - 1 + lookahead)
    contract = replace(graph.contract, blocks=Blocks(block, lookahead), lookahead=lag)
    graph.set_metadata(METADATA_KEY, contract.to_json())
    return graph


@pytest.mark.parametrize("backend", BACKENDS)
def test_tagger_answers_at_its_end_as_offline(tagger: tuple[Path, nn.Module], backend: Backend) -> None:
    path, module = tagger
    *pushed, end = streamed(load(path, backend).stream(), FRAMES, [0, 17, 40])
    assert [answer.shape for answer in pushed] == [(0, 3)] * 2
    assert error(end, offline(module, FRAMES)) < TOLERANCE


@settings(max_examples=10)
@given(block=st.integers(1, 20), lookahead=st.integers(0, 20), at=cuts(40))
def test_blocks_are_the_same_on_both_backends_however_cut(
    tagger: tuple[Path, nn.Module], tmp_path_factory: pytest.TempPathFactory, block: int, lookahead: int, at: list[int]
) -> None:
    """The engine equals the specification with ==, onnxruntime is within 1e-5, and each push has the right frames."""
    layers = sum(node.op_type in ("LSTM", "GRU", "RNN") for node in Graph.load(tagger[0]).nodes) // 2
    graph = with_blocks(tagger[0], block, lookahead, layers)
    path = tmp_path_factory.mktemp("grid") / "m.onnx"
    graph.save(path)
    reference = ReferenceStream(lower(graph))
    wanted = np.concatenate([np.asarray(part["output"]) for part in (reference.push(FRAMES), reference.finish())])
    parts = {backend: streamed(load(path, backend).stream(), FRAMES, at) for backend in BACKENDS}
    np.testing.assert_array_equal(np.concatenate(parts["native"]), wanted, strict=True)
    assert error(np.concatenate(parts["onnxruntime"]), wanted) < TOLERANCE
    counts = [[len(part) for part in parts[backend] if len(part)] for backend in BACKENDS]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_block_as_long_as_the_stream_is_offline(
    tagger: tuple[Path, nn.Module], tmp_path: Path, backend: Backend
) -> None:
    layers = sum(node.op_type in ("LSTM", "GRU", "RNN") for node in Graph.load(tagger[0]).nodes) // 2
    with_blocks(tagger[0], 40, 5, layers).save(tmp_path / "m.onnx")
    (*_, end) = streamed(load(tmp_path / "m.onnx", backend).stream(), FRAMES, [0, 40])
    assert error(end, offline(tagger[1], FRAMES)) < TOLERANCE


@pytest.mark.parametrize("backend", BACKENDS)
def test_push_returns_the_frames_whose_blocks_are_complete(tmp_path: Path, backend: Backend) -> None:
    report = export_model(Tagger(nn.GRU, 1), torch.randn(1, 20, 6), tmp_path / "m.onnx", block=4, lookahead=3)
    assert (report.contract.blocks, report.contract.lookahead) == (Blocks(4, 3), 6)
    stream = load(tmp_path / "m.onnx", backend).stream()
    ready = [len(stream.push(frame[None])) for frame in FRAMES[:16]]
    assert [at for at, count in enumerate(ready, 1) if count] == [7, 11, 15]
    assert set(ready) == {0, 4}
    rest = stream.finish()
    assert rest is not None
    assert len(rest) == 4


@pytest.mark.parametrize("backend", BACKENDS)
def test_final_h_of_the_backward_direction_is_that_of_the_block(tmp_path: Path, backend: Backend) -> None:
    """Each block has one answer from both last h: forward h at its last frame, backward h at its first frame."""
    torch.manual_seed(0)
    module = BiLSTMClassifier(20, 6, 5).eval()
    export_model(module, torch.randint(0, 20, (1, 20)), tmp_path / "m.onnx", block=8)
    stream = load(tmp_path / "m.onnx", backend).stream()
    ids = np.random.default_rng(0).integers(0, 20, 24)
    answers = [np.asarray(stream.push(ids[i : i + 1])) for i in range(24)]
    with torch.no_grad():
        embedded = module.embedding(torch.from_numpy(ids[None]))
        forward = module.lstm(embedded)[0][0, :, :5]
        for end in (8, 16, 24):
            backward = module.lstm(embedded[:, end - 8 : end])[0][0, 0, 5:]
            wanted = module.fc(torch.cat((forward[end - 1], backward)))
            assert error(answers[end - 1], np.asarray(wanted)) < TOLERANCE
    assert [len(answer) for answer in answers] == ([0] * 7 + [3]) * 3
    assert stream.finish() is None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("grid", [{}, {"block": 6, "lookahead": 2}])
def test_layers_above_and_below_others_and_several_answers(
    tmp_path: Path, backend: Backend, grid: dict[str, int]
) -> None:
    module = Deep().eval()
    report = export_model(module, torch.randn(20, 2, 6), tmp_path / "m.onnx", **grid)  # type: ignore[arg-type]
    assert [state.input for state in report.contract.states] == ["before.h_in", "before.c_in", "rnn.h_in"]
    stream = load(tmp_path / "m.onnx", backend).stream()
    first, rest = stream.push(FRAMES), stream.finish()
    assert isinstance(first, dict)
    assert isinstance(rest, dict)
    with torch.no_grad():
        scores, y = module(torch.from_numpy(FRAMES[:, None]))
    seen = np.concatenate([first["output_1"], rest["output_1"]])
    assert seen.shape == y[:, 0].shape
    if not grid:
        assert error(seen, np.asarray(y[:, 0])) < TOLERANCE
        assert error(rest["output_0"], np.asarray(scores[0])) < TOLERANCE


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("grid", [{}, {"block": 5, "lookahead": 3}])
def test_snapshot_has_the_frames_that_wait(tmp_path: Path, backend: Backend, grid: dict[str, int]) -> None:
    export_model(Tagger(nn.LSTM, 2), torch.randn(1, 20, 6), tmp_path / "m.onnx", **grid)  # type: ignore[arg-type]
    model = load(tmp_path / "m.onnx", backend)
    first = model.stream()
    first.push(FRAMES[:13])
    saved, other = first.snapshot(), first.fork()
    expected = streamed(first, FRAMES[13:], [0, 3, 27])
    restored = model.stream()
    restored.push(FRAMES[:2])
    restored.restore(saved)
    assert restored.snapshot() == saved
    for stream in (other, restored):
        for mine, theirs in zip(streamed(stream, FRAMES[13:], [0, 3, 27]), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(SnapshotError, match="stream unchanged"):
        restored.restore(saved[:-4])
    restored.reset()
    again = model.stream()
    for mine, theirs in zip(*(streamed(s, FRAMES, [0, 40]) for s in (restored, again)), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_stream_longer_than_its_limit_is_refused_and_goes_on(tmp_path: Path, backend: Backend) -> None:
    export_model(Tagger(nn.GRU, 1), torch.randn(1, 20, 6), tmp_path / "m.onnx", limit=20)
    stream, twin = (load(tmp_path / "m.onnx", backend).stream() for _ in range(2))
    stream.push(FRAMES[:15])
    with pytest.raises(ChunkError, match="chunk of 6 frames after 15: the stream is one block, of at most 20 frames"):
        stream.push(FRAMES[:6])
    for mine, theirs in zip(
        streamed(stream, FRAMES[15:20], [0, 5])[1:], streamed(twin, FRAMES[:20], [0, 20])[1:], strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("precision", ["W8A16", "W4A16g32", "W8A8"])
def test_both_directions_are_quantized(tagger: tuple[Path, nn.Module], tmp_path: Path, precision: str) -> None:
    report = quantize(tagger[0], tmp_path / "m.int8.onnx", precision=precision)
    named = {weight.name for weight in report.weights if "weight_ih" in weight.name or "weight_hh" in weight.name}
    assert {"rnn.weight_ih_l0", "rnn.weight_ih_l0_reverse", "rnn.weight_hh_l0", "rnn.weight_hh_l0_reverse"} <= named
    assert not [weight.name for weight in report.weights if weight.name in named and weight.precision == "float32"]
    models: dict[str, Model] = {backend: load(tmp_path / "m.int8.onnx", backend) for backend in BACKENDS}
    ends = {name: streamed(model.stream(), FRAMES, [0, 9, 40])[-1] for name, model in models.items()}
    assert error(ends["native"], ends["onnxruntime"]) < (0.06 if precision == "W8A8" else 2e-3)
    compile_model(tmp_path / "m.int8.onnx", tmp_path / "m.tide")
    plan = streamed(load(tmp_path / "m.tide").stream(), FRAMES, [0, 40])[-1]
    np.testing.assert_array_equal(plan, ends["native"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lookahead": 3}, "lookahead is 3 without a block; wanted block="),
        ({"block": 3, "limit": 5}, "limit is 5 and block is 3; wanted only one of them"),
        ({"block": 0}, "block is 0, lookahead 0, limit None; wanted 1 to 1048576"),
        ({"limit": 0}, "limit 0; wanted 1 to"),
        ({"block": 3, "lookahead": -1}, "lookahead -1, limit None; wanted 1 to"),
    ],
)
def test_grid_that_cannot_be_is_refused(tmp_path: Path, options: dict[str, int], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        export_model(Tagger(nn.GRU, 1), torch.randn(1, 20, 6), tmp_path / "m.onnx", **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_grid_without_a_backward_direction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="are for bidirectional layers; this model has none"):
        export_model(nn.GRU(6, 4), torch.randn(20, 1, 6), tmp_path / "m.onnx", block=3)


def test_contract_that_promises_another_lookahead_is_refused(tagger: tuple[Path, nn.Module], tmp_path: Path) -> None:
    with_blocks(tagger[0], 4, 3, 7).save(tmp_path / "m.onnx")
    with pytest.raises(ContractError, match="lookahead is 42, the graph says"):
        load(tmp_path / "m.onnx")


def test_backward_node_without_blocks_is_refused(tagger: tuple[Path, nn.Module], tmp_path: Path) -> None:
    graph = Graph.load(tagger[0])
    fields = json.loads(graph.contract.to_json()) | {"blocks": None, "lookahead": 0}
    graph.set_metadata(METADATA_KEY, json.dumps(fields))
    graph.save(tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match="its direction is reverse, but the contract has no blocks"):
        load(tmp_path / "m.onnx")


def test_inspect_tells_both_directions_of_file_and_plan(tmp_path: Path) -> None:
    export_model(Tagger(nn.GRU, 2), torch.randn(1, 20, 6), tmp_path / "m.onnx", block=8, lookahead=4)
    quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    compile_model(tmp_path / "m.int8.onnx", tmp_path / "m.tide")
    found = [inspect_file(tmp_path / name) for name in ("m.int8.onnx", "m.tide")]
    for inspection in found:
        assert [layer.direction for layer in inspection.layers] == ["forward", "reverse"] * 2
        assert {layer.cell for layer in inspection.layers} == {"GRU"}
        assert {layer.activation_bits for layer in inspection.layers} == {(16, 16)}
        assert str(inspection.backend).startswith("native")
    assert found[0].layers[0].multiply_adds == found[1].layers[1].multiply_adds


def test_run_writes_the_answers_as_they_become_ready(tmp_path: Path) -> None:
    export_model(Tagger(nn.GRU, 1), torch.randn(1, 20, 6), tmp_path / "m.onnx", block=8, lookahead=4)
    np.save(tmp_path / "x.npy", FRAMES)
    command = [sys.executable, "-m", "tidegate", "run", "m.onnx", "x.npy", "-o", "y.npy"]
    subprocess.run(command, cwd=tmp_path, check=True)
    stream = load(tmp_path / "m.onnx").stream()
    wanted = np.concatenate(streamed(stream, FRAMES, [0, 40]))
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), wanted)


class Handed(nn.Module):
    """Both directions start from a state argument."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 4, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map `[batch, frames, 6]` and a state to answers and the next state."""
        y, (h, c) = self.lstm(x, (h, c))
        return y, h, c


class Branches(nn.Module):
    """Two branches with different lookahead."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 8, 3, padding="same")
        self.rnn = nn.GRU(6, 4, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, frames, 6]` to `[batch, frames, 8]`."""
        y: Tensor = self.conv(x.transpose(1, 2)).transpose(1, 2) + self.rnn(x)[0]
        return y


def test_state_that_is_handed_to_both_directions_is_refused(tmp_path: Path) -> None:
    state = torch.zeros(2, 1, 4)
    message = "LSTM '/lstm/LSTM': its initial state comes from an argument, but its backward direction restarts in"
    with pytest.raises(UnsupportedError, match=message):
        export_model(Handed(), (torch.randn(1, 20, 6), state, state.clone()), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("grid", [{}, {"block": 5, "lookahead": 3}])
def test_branches_that_look_ahead_differently_are_refused_where_they_meet(tmp_path: Path, grid: dict[str, int]) -> None:
    with pytest.raises(UnsupportedError, match="Add '/Add': it joins two values that look ahead, and neither can wait"):
        export_model(Branches(), torch.randn(1, 20, 6), tmp_path / "m.onnx", **grid)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
