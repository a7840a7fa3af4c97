"""Foreign files that write the step of a cell out in small operators, lifted whole."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from tidegate.export import export_model, lift
from tidegate.quant import quantize
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ModelError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.graph.projected_lstm import with_weights
from tidegate.runtime.load import load
from tools.graphs import floats, model_of
from tools.shared import model_folder
from tools.written_steps import Style, Writer, gru, lstm
from torch import Tensor, nn


def rebatched(model: onnx.ModelProto, names: dict[str, str]) -> onnx.ModelProto:
    """Return a step as a file: its batch free, its states under other names, an answer added."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for node in made.graph.node:
        for listed in (node.input, node.output):
            listed[:] = [names.get(name, name) for name in listed]
    for item in (*made.graph.input, *made.graph.output):
        item.name = names.get(item.name, item.name)
        item.type.tensor_type.shape.dim.add() if not item.type.tensor_type.shape.dim else None
    for item in made.graph.input:
        item.type.tensor_type.shape.dim[0].dim_param = "batch"
    for item in made.graph.output:
        item.CopyFrom(helper.make_tensor_value_info(item.name, 1, ["batch", 4]))
    made.graph.node.append(helper.make_node("Relu", [names.get("h_next", "h_next")], ["answer"]))
    made.graph.output.insert(0, helper.make_tensor_value_info("answer", 1, ["batch", 4]))
    return made


def streamed(path: Path, x: Array, size: int) -> Array:
    stream = load(path, backend="native").stream()
    return np.concatenate([stream.push(x[i : i + size]) for i in range(0, len(x), size)])


def original(model: onnx.ModelProto, x: Array, pairs: dict[str, str]) -> Array:
    """Return the answers of a file that is run frame by frame."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    sizes = {item.name: item.type.tensor_type.shape.dim[-1].dim_value for item in model.graph.input}
    states = {name: np.zeros((1, sizes[name]), np.float32) for name in pairs}
    answers = []
    for frame in x:
        answer, *nexts = session.run(["answer", *pairs.values()], {"x": frame[None], **states})
        states = dict(zip(pairs, nexts, strict=True))
        answers.append(answer)
    return np.concatenate(answers)


def projected() -> onnx.ModelProto:
    """Return a step of an LSTM whose hidden state is projected."""
    made = Writer(Style())
    i, f, g, o = made.affine(4)
    cell = made.add("Add", made.add("Mul", made.gate(f), "c"), made.add("Mul", made.gate(i), made.add("Tanh", g)))
    inner = made.add("Mul", made.gate(o), made.add("Tanh", cell))
    return made.model(h=made.add("MatMul", inner, made.weight(made.hidden, made.hidden)), c=cell)


FILES = {
    "projected": (projected(), {}, {"h": "h_next", "c": "c_next"}),
    "names": (lstm(Style()), {}, {"h": "h_next", "c": "c_next"}),
    "no names": (
        lstm(Style(cut="none")),
        {"h": "s", "c": "t", "h_next": "u", "c_next": "v"},
        {"s": "u", "t": "v"},
    ),
    "gru": (gru(Style(gemm=True), before=False), {}, {"h": "h_next"}),
}


@pytest.mark.parametrize("name", FILES)
def test_row_75_a_step_with_states_streams_on_the_engine(name: str, tmp_path: Path) -> None:
    step, names, pairs = FILES[name]
    model = rebatched(step, names)
    onnx.save(model, tmp_path / "file.onnx")
    report = lift(tmp_path / "file.onnx", tmp_path / "stream.onnx")
    assert {state.kind for state in report.contract.states} == ({"h", "c"} if len(pairs) == 2 else {"h"})
    x = floats(23, 3)
    seen = [streamed(tmp_path / "stream.onnx", x, size) for size in (1, 7, 23)]
    np.testing.assert_allclose(seen[0], original(model, x, pairs), rtol=1e-5, atol=1e-6)
    assert all(np.array_equal(seen[0], other) for other in seen)
    quantize(tmp_path / "stream.onnx", tmp_path / "int8.onnx")
    seen = [streamed(tmp_path / "int8.onnx", x, size) for size in (1, 7, 23)]
    assert all(np.array_equal(seen[0], other) for other in seen)


class Unrolled(nn.Module):
    """A cell over the frames of the example, and a linear layer in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.fc = nn.GRUCell(3, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        h, answers = torch.zeros(x.shape[0], 5), []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            answers.append(self.fc(h))
        return torch.stack(answers, 1)


def test_row_212_a_linear_layer_in_each_unrolled_step_runs_on_the_engine(tmp_path: Path) -> None:
    torch.manual_seed(2)
    module, x = Unrolled().eval(), floats(9, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one
        torch.onnx.export(module, (torch.from_numpy(x)[None],), str(tmp_path / "file.onnx"), dynamo=False)
    lift(tmp_path / "file.onnx", tmp_path / "stream.onnx")
    seen = np.asarray(load(tmp_path / "stream.onnx", "native").stream().push(x))
    with torch.no_grad():
        np.testing.assert_allclose(seen, module(torch.from_numpy(x)[None])[0].numpy(), atol=1e-6)


class TwoLayers(nn.Module):
    """One frame of two LSTMs by hand, all four states in one tensor [1, 2, 4, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.ours = nn.ModuleList([nn.Linear(3, 16), nn.Linear(4, 16)])
        self.theirs = nn.ModuleList([nn.Linear(4, 16), nn.Linear(4, 16)])

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        nexts = []
        for layer, (ours, theirs) in enumerate(zip(self.ours, self.theirs, strict=True)):
            f, i, o, g = (ours(x) + theirs(s[:, layer, :, 0])).chunk(4, 1)
            c = f.sigmoid() * s[:, layer, :, 1] + i.sigmoid() * g.tanh()
            x = o.sigmoid() * c.tanh()
            nexts.append(torch.stack([x, c], -1))
        return x, torch.stack(nexts, 1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter
def test_two_layers_whose_states_are_packed_into_one_input(tmp_path: Path) -> None:
    module, s, path = TwoLayers(), torch.zeros(1, 2, 4, 2), str(tmp_path / "file.onnx")
    torch.onnx.export(
        module, (torch.zeros(1, 3), s), path, dynamo=False, input_names=["x", "s"], output_names=["y", "t"]
    )
    report = lift(path, tmp_path / "stream.onnx")
    assert [state.shape for state in report.contract.states] == [(2, 1, 4), (2, 1, 4)]
    x, wanted = floats(12, 3), []
    for frame in torch.from_numpy(x):
        y, s = module(frame[None], s)
        wanted.append(y.detach().numpy())
    seen = [streamed(tmp_path / "stream.onnx", x, size) for size in (1, 7, 12)]
    np.testing.assert_allclose(seen[0], np.concatenate(wanted), rtol=1e-5, atol=1e-6)
    assert all(np.array_equal(seen[0], other) for other in seen)


def test_a_step_that_is_no_cell_is_refused_by_what_it_computes(tmp_path: Path) -> None:
    made = Writer(Style())
    new = made.add("Tanh", made.affine(1)[0])
    kept = made.add("Mul", "h", made.number(0.9))
    step = made.model(h=made.add("Add", kept, made.add("Mul", new, made.number(0.1))))
    onnx.save(rebatched(step, {}), tmp_path / "file.onnx")
    message = (
        f"no recurrent layer found, and the step of state h is no GRU: the next state is '0.9 h \\+ 0.1 {new}', wanted"
    )
    with pytest.raises(UnsupportedError, match=message):
        lift(tmp_path / "file.onnx", tmp_path / "stream.onnx")


def test_a_file_without_states_has_no_step(tmp_path: Path) -> None:
    onnx.save(model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": ("batch", 3)}, ["y"]), tmp_path / "file.onnx")
    with pytest.raises(ModelError, match="no recurrent layer found"):
        lift(tmp_path / "file.onnx", tmp_path / "stream.onnx")


PUBLIC = {"silero_vad_op18_ifless": {"values": {"sr": 16000}, "frame": 512, "context": 64}, "dtln_2": {}}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_files_with_written_steps_stream_on_the_engine(name: str, tmp_path: Path) -> None:
    folder = model_folder(name)
    lift(folder / "model.onnx", tmp_path / "stream.onnx", **PUBLIC[name])  # type: ignore[arg-type]
    quantize(tmp_path / "stream.onnx", tmp_path / "int8.onnx")
    assert "LSTM" in {node.op_type for node in Graph.load(tmp_path / "stream.onnx").nodes}
    with np.load(folder / "reference.npz") as reference:
        x, wanted = reference["x"][:100], next(reference[key] for key in reference.files if key.startswith("y"))[:100]
    for file, bound in (("stream.onnx", 1e-5), ("int8.onnx", 0.1)):
        seen = [streamed(tmp_path / file, x, size) for size in (1, 7, 100)]
        assert all(np.array_equal(seen[0], other) for other in seen)
        assert np.abs(seen[0].reshape(wanted.shape) - wanted).max() <= bound * np.abs(wanted).max()


class ProjectedByHand(nn.Module):
    """An LSTM with projection, written by hand in a loop over time: 6 units, an h of 4 values."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.r, self.p = nn.Linear(3, 24), nn.Linear(4, 24, bias=False), nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map frames `[batch, time, 3]` to answers `[batch, time, 4]`."""
        h, c = x.new_zeros(x.shape[0], 4), x.new_zeros(x.shape[0], 6)
        answers = []
        for t in range(x.shape[1]):
            i, f, g, o = (self.w(x[:, t]) + self.r(h)).chunk(4, -1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = self.p(o.sigmoid() * c.tanh())
            answers.append(h)
        return torch.stack(answers, 1)


@pytest.mark.parametrize("way", ["export", "lift"])
def test_row_139_an_lstm_with_projection_by_hand_is_one_again(tmp_path: Path, way: str) -> None:
    torch.manual_seed(0)
    module, example = ProjectedByHand().eval(), torch.randn(1, 5, 3)
    if way == "export":
        export_model(module, example, tmp_path / "stream.onnx")
    else:
        with warnings.catch_warnings(action="ignore"):
            torch.onnx.export(module, (example,), str(tmp_path / "file.onnx"), dynamo=False, opset_version=17)
        lift(tmp_path / "file.onnx", tmp_path / "stream.onnx")
    graph = Graph.load(tmp_path / "stream.onnx")
    scans = [with_weights(node) for node in graph.nodes if node.op_type == "Scan"]
    assert [node.op_type for node in scans if node is not None] == ["ProjectedLSTM"]
    assert all(node.op_type not in ("Sigmoid", "Tanh") for node in graph.nodes)
    x = floats(23, 3)
    with torch.no_grad():
        wanted = module(torch.from_numpy(x)[None])[0].numpy()
    for size in (1, 7, 23):
        np.testing.assert_allclose(streamed(tmp_path / "stream.onnx", x, size), wanted, rtol=1e-5, atol=1e-6)
    quantize(tmp_path / "stream.onnx", tmp_path / "int8.onnx")
    assert np.abs(streamed(tmp_path / "int8.onnx", x, 5) - wanted).max() < 0.02
