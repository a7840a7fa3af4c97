"""Quantizing with calibration, from file to file: every cell and layer, every method, every budget."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tidegate as tg
import torch
from onnx import TensorProto, helper, numpy_helper
from tidegate.quant import QuantizationReport, quantize
from tidegate.quant.observing.observation import Segment, observe
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.errors import QuantizationError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.program import Program
from tools.nets import ROWS, Net
from tools.onnx_files import write_ids, write_lstm

OPTIONS: dict[str, dict[str, Any]] = {
    "GRU": {"linear_before_reset": 1},
    "GRU of relu": {"activations": ["Sigmoid", "Relu"]},  # the reset gate comes first
    "LSTM coupled": {"input_forget": 1, "clip": 3.0, "activations": ["Sigmoid", "Elu", "Softsign"]},
}
METHODS = ["nearest", "compensated", "guided"]


def net(seed: int, *layers: str, ids: bool = False) -> Net:
    """Return a net of cells of twelve units and linear layers of four."""
    made = Net(np.random.default_rng(seed), 6)
    if ids:
        made.embedding(6)
    for layer in layers:
        if layer == "linear":
            made.matmul(4)
        else:
            made.cell(layer.split()[0], 12, **OPTIONS.get(layer, {}))
    return made


def write(path: Path, *layers: str, ids: bool = False, last: bool = False) -> Path:
    net(3, *layers, ids=ids).save(path, 18, last=last)
    return path


def smooth(count: int = 4, frames: int = 400, features: int = 6) -> list[Floats]:
    """Return streams whose features change slowly and together, like real signals."""
    rng = np.random.default_rng(4)
    mixing = rng.normal(size=(2, features))
    walks = np.cumsum(rng.normal(0, 0.3, (count, frames, 2)), 1)
    return list((np.sin(walks) @ mixing + 0.05 * rng.normal(size=(count, frames, features))).astype(np.float32))


def in_four_bits(source: Path, method: str | None = None) -> QuantizationReport:
    """Quantize to `q.onnx` next to the source: four bits, one scale per channel, no extra bytes."""
    target = source.with_name("q.onnx")
    return quantize(source, target, calibration=smooth(), method=method, precision="W4A16", extra=0)


def error(report: QuantizationReport) -> float:
    assert report.calibration is not None
    return report.calibration.error


@pytest.mark.parametrize(
    "layers",
    [("LSTM",), ("GRU",), ("RNN",), ("LSTM", "GRU", "linear"), ("GRU of relu",), ("LSTM coupled", "GRU of relu")],
    ids="-".join,
)
def test_compensation_brings_the_output_closer_for_every_cell(tmp_path: Path, layers: tuple[str, ...]) -> None:
    source = write(tmp_path / "m.onnx", *layers)
    errors = {method: error(in_four_bits(source, method)) for method in METHODS}
    print({method: f"{value:.3g}" for method, value in errors.items()})
    assert errors["compensated"] < 0.8 * errors["nearest"]
    assert errors["guided"] < 0.8 * errors["nearest"]


def test_the_best_method_is_taken_and_the_report_is_of_the_written_file(tmp_path: Path) -> None:
    source, target, streams = write(tmp_path / "m.onnx", "LSTM", "linear"), tmp_path / "q.onnx", smooth()
    report = in_four_bits(source)
    found = report.calibration
    assert found is not None
    dampings = {f"{found.method}, damping {damping}" for damping in ("0.05", "0.001")}
    assert set(found.candidates) == {"nearest", "compensated", "guided", "guided by channel"} | dampings
    assert min(found.candidates, key=lambda method: found.candidates[method]).startswith(found.method)
    assert (found.streams, found.frames, found.held_frames, found.complete) == (4, 1600, 320, True)
    assert {w.method for w in report.weights} == {found.method}
    exact, made = (
        np.concatenate([np.asarray(load(path).stream().push(s)) for s in streams]) for path in (source, target)
    )
    held = np.concatenate([np.isin(np.arange(400) // 40, (2, 7)) for _ in streams])
    seen = np.sqrt(np.sum((made - exact)[held] ** 2) / np.sum(exact[held] ** 2))
    assert abs(seen - found.error) <= 1e-3 * found.error
    assert list(found.errors.values()) == [found.error]


@pytest.mark.parametrize("last", [False, True])
def test_the_written_file_errs_as_the_judged_program_wherever_its_biases_are(tmp_path: Path, last: bool) -> None:
    """The biases of a cell, of a MatMul with an Add, and of a Gemm."""
    source, target = write(tmp_path / "m.onnx", "LSTM", "GRU", "RNN", "linear", last=False), tmp_path / "q.onnx"
    if last:
        write_lstm(source)
    report = in_four_bits(source, "compensated")
    onnx.checker.check_model(onnx.load(target), full_check=True)
    assert report.calibration is not None
    assert min(report.calibration.candidates.values()) == pytest.approx(error(report), rel=1e-3)


def test_a_method_is_judged_with_the_weights_that_it_does_not_round(tmp_path: Path) -> None:
    """A table of ids is rounded to nearest whatever the method: its error is in that of each candidate."""
    ids = [np.random.default_rng(seed).integers(0, 9, 100) for seed in range(3)]
    report = quantize(write_ids(tmp_path / "m.onnx"), tmp_path / "q.onnx", calibration=ids, precision="W4A16", extra=0)
    assert report.calibration is not None
    assert any(error(report) == one for one in report.calibration.candidates.values())


def test_the_method_errs_no_more_than_nearest_on_the_frames_that_it_saw(tmp_path: Path) -> None:
    """A few frames decide most of the error, and none of them is held out: the last of ten spans is loud."""
    source, target = write(tmp_path / "m.onnx", "LSTM", "linear"), tmp_path / "q.onnx"
    quiet, loud = np.split(np.concatenate(smooth())[:1000], [900])
    stream = np.concatenate([quiet * np.float32(1e-3), loud * np.float32(4)])
    exact = np.asarray(load(source).stream().push(stream))
    errors = []
    for method in ("nearest", None):
        quantize(source, target, calibration=[stream], method=method, precision="W4A16", extra=0)
        made = np.asarray(load(target).stream().push(stream))
        held = np.isin(np.arange(1000) // 100, (2, 7))
        errors.append(
            max(np.sqrt(np.sum((made - exact)[part] ** 2) / np.sum(exact[part] ** 2)) for part in (held, ~held))
        )
    assert errors[1] <= errors[0] * (1 + 1e-6)


def without_biases(source: Path) -> None:
    """Remove the biases of a net: the input of a cell, and the Add after a MatMul."""
    graph = Graph.load(source)
    for node in list(graph.nodes):
        if node.op_type == "LSTM":
            node.input[3] = ""
        elif node.op_type == "Add":
            graph.model.graph.output[0].name = node.input[0]
            graph.model.graph.node.remove(node)
            contract = replace(graph.contract, outputs=(replace(graph.contract.outputs[0], name=node.input[0]),))
            graph.set_metadata("tidegate.contract", contract.to_json())
    graph.save(source)


def test_layers_without_a_bias_get_one(tmp_path: Path) -> None:
    source, target = write(tmp_path / "m.onnx", "LSTM", "linear"), tmp_path / "q.onnx"
    without_biases(source)
    report = in_four_bits(source, "compensated")
    onnx.checker.check_model(onnx.load(target), full_check=True)
    assert report.calibration is not None
    assert min(report.calibration.candidates.values()) == pytest.approx(error(report), rel=1e-3)
    nodes = {node.op_type: node for node in Graph.load(target).nodes}
    assert nodes["LSTM"].input[3].endswith(".bias")
    assert nodes["Add"].input[1].endswith(".bias")


def test_biases_that_two_layers_share_are_corrected_apart(tmp_path: Path) -> None:
    source, target = write(tmp_path / "m.onnx", "RNN", "RNN"), tmp_path / "q.onnx"
    graph = Graph.load(source)
    first, second = (node for node in graph.nodes if node.op_type == "RNN")
    second.input[3] = first.input[3]
    graph.save(source)
    report = in_four_bits(source, "compensated")
    assert report.calibration is not None
    assert min(report.calibration.candidates.values()) == pytest.approx(error(report), rel=1e-3)
    assert len({node.input[3] for node in Graph.load(target).nodes if node.op_type == "RNN"}) == 2


def test_weights_that_two_layers_share_are_rounded_to_nearest(tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", "RNN", "RNN")
    graph = Graph.load(source)
    first, second = (node for node in graph.nodes if node.op_type == "RNN")
    second.input[2] = first.input[2]
    graph.save(source)
    report = quantize(source, tmp_path / "q.onnx", calibration=smooth(), method="compensated")
    assert {w.name: w.method for w in report.weights}[first.input[2]] == "nearest"
    assert {w.method for w in report.weights} == {"nearest", "compensated"}


def test_a_model_of_ids_is_calibrated_and_its_table_is_rounded_to_nearest(tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", "GRU", "linear", ids=True)
    streams: list[Array] = [np.random.default_rng(i).integers(0, ROWS, 200) for i in range(6)]
    report = quantize(source, tmp_path / "q.onnx", calibration=streams)
    assert {w.name: w.method for w in report.weights}["table"] == "nearest"
    assert error(report) < 0.01


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_a_convolution_is_compensated_too(tmp_path: Path) -> None:
    class Listener(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv1d(6, 10, 3, padding=2)
            self.lstm = torch.nn.LSTM(10, 12, batch_first=True, proj_size=5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            frames = torch.relu(self.conv(x.transpose(1, 2))[:, :, : x.shape[1]]).transpose(1, 2)
            answer: torch.Tensor = self.lstm(frames)[0]
            return answer

    torch.manual_seed(0)
    tg.export_model(Listener(), torch.randn(1, 20, 6), tmp_path / "m.onnx")
    errors = {}
    for method in ("nearest", "guided"):
        report = in_four_bits(tmp_path / "m.onnx", method)
        errors[method] = error(report)
        assert {w.method for w in report.weights if w.operator.startswith("Conv")} <= {method, "guided by channel"}
    print(errors)
    assert errors["guided"] < 0.8 * errors["nearest"]


# ---- precisions ----


def loud_column(source: Path) -> None:
    """Make the weights of the first layer's first input a hundred times larger than the others."""
    graph = Graph.load(source)
    tensor = next(t for t in graph.model.graph.initializer if t.name.endswith(".W"))
    values = numpy_helper.to_array(tensor).copy()
    values[:, :, 0] *= 100
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    graph.save(source)


def quiet_column(streams: list[Floats]) -> list[Floats]:
    return [frames * np.array([0.01, 1, 1, 1, 1, 1], np.float32) for frames in streams]


def test_a_few_more_bytes_go_to_the_weight_that_needs_them(tmp_path: Path) -> None:
    """One input has weights a hundred times larger: int8 of W loses the other inputs, and 16 bits of W cost little."""
    source = write(tmp_path / "m.onnx", "LSTM")
    loud_column(source)
    plain = quantize(source, tmp_path / "p.onnx", calibration=quiet_column(smooth()), extra=0)
    report = quantize(source, tmp_path / "q.onnx", calibration=quiet_column(smooth()), extra=0.3)
    assert plain.moved == ()
    (moved,) = report.moved
    assert (moved.name.endswith(".W"), moved.asked, moved.precision) == (True, "W8A16", "W16A16")
    assert error(report) < 0.3 * error(plain)
    worst = max(report.weights, key=lambda w: w.options[0].error)
    assert worst.name == moved.name
    assert moved.sensitivity == min(option.error for option in moved.options)
    assert {gate.gate for gate in moved.gates} == set("iofc")
    assert all(gate.sensitivity is not None and gate.sensitivity < worst.options[0].error for gate in moved.gates)


def test_a_weight_with_its_own_pattern_keeps_its_precision(tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", "LSTM")
    loud_column(source)
    asked = {"*": "W8A16", "*.W": "W8A8"}
    report = quantize(source, tmp_path / "q.onnx", calibration=quiet_column(smooth()), extra=0.3, precision=asked)
    assert [(w.precision, len(w.options)) for w in report.weights if w.name.endswith(".W")] == [("W8A8", 1)]


def test_max_bytes_gives_the_file_that_errs_least_within_them(tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", "LSTM", "GRU", "linear")
    largest = quantize(source, tmp_path / "q.onnx", calibration=smooth(), precision="W16A16")
    smallest = quantize(source, tmp_path / "q.onnx", calibration=smooth(), precision="W4A16", extra=0)
    errors = []
    for most in (smallest.bytes + 300, (smallest.bytes + largest.bytes) // 2, largest.bytes + 300):
        report = quantize(source, tmp_path / "q.onnx", calibration=smooth(), max_bytes=most)
        assert report.bytes <= most
        errors.append(error(report))
    print(errors)
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("ranges", [None, "entropy"])
def test_max_bytes_counts_names_and_ranges_too(tmp_path: Path, ranges: str | None) -> None:
    """A budget that could be met was once refused, since these bytes were not counted."""
    source = write(tmp_path / "m.onnx", "LSTM", "GRU", "RNN", "linear")
    for most in (7600, 8000):
        report = quantize(
            source, tmp_path / "q.onnx", calibration=smooth(), method="nearest", max_bytes=most, ranges=ranges
        )
        assert most - 1200 < report.bytes <= most


@pytest.mark.parametrize("method", ["compensated", "nearest"])
def test_max_bytes_counts_biases_that_layers_gain(tmp_path: Path, method: str) -> None:
    """A file was once refused because it had more bytes than asked for, by the biases that calibration had added."""
    source, sizes = write(tmp_path / "m.onnx", "LSTM", "GRU", "linear"), []
    without_biases(source)
    for most in (5100, 5500, 6000, 7000):
        report = quantize(source, tmp_path / "q.onnx", calibration=smooth(), method=method, max_bytes=most)
        assert report.bytes <= most
        sizes.append(report.bytes)
    print(sizes)
    assert sizes == sorted(sizes)


def test_max_error_gives_the_smallest_file_that_meets_it(tmp_path: Path) -> None:
    source, sizes = write(tmp_path / "m.onnx", "LSTM", "linear"), []
    for most in (0.1, 0.01, 0.0005):
        report = quantize(source, tmp_path / "q.onnx", calibration=smooth(), max_error=most)
        assert error(report) <= most * (1 + 1e-3)
        sizes.append(report.bytes)
    print(sizes)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_a_budget_that_cannot_be_met_is_refused(tmp_path: Path) -> None:
    source, target = write(tmp_path / "m.onnx", "LSTM"), tmp_path / "q.onnx"
    with pytest.raises(
        QuantizationError,
        match=r"no precisions of the weights give at most 1500 bytes: the smallest file has about \d+ bytes",
    ):
        quantize(source, target, calibration=smooth(), max_bytes=1500)
    with pytest.raises(QuantizationError, match=r"give an error of at most 1e-09: the smallest file has"):
        quantize(source, target, calibration=smooth(), max_error=1e-9)
    assert not target.exists()


@pytest.mark.parametrize("wrong", [{"method": "guided"}, {"max_bytes": 10_000}, {"max_error": 0.1}])
def test_options_that_need_calibration_are_refused_without_it(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(QuantizationError, match="method, ranges, max_bytes and max_error need calibration"):
        quantize(write(tmp_path / "m.onnx", "RNN"), tmp_path / "q.onnx", **wrong)  # type: ignore[arg-type]


def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuantizationError, match="method is 'magic', wanted nearest, compensated or guided"):
        quantize(write(tmp_path / "m.onnx", "RNN"), tmp_path / "q.onnx", calibration=smooth(), method="magic")


def test_a_model_that_the_engine_does_not_run_is_refused(tmp_path: Path) -> None:
    odd = helper.make_node("Cos", ["output"], ["odd"])
    source = write_lstm(tmp_path / "m.onnx", nodes=[odd])
    graph = Graph.load(source)
    graph.model.graph.output.append(helper.make_tensor_value_info("odd", TensorProto.FLOAT, ["batch", 3]))
    graph.save(source)
    with pytest.raises(
        UnsupportedError, match="calibration runs on the engine, and Cos 'odd': the engine does not have"
    ):
        quantize(source, tmp_path / "q.onnx", calibration=smooth())


def test_a_stream_that_the_model_refuses_is_refused(tmp_path: Path) -> None:
    ids = write(tmp_path / "m.onnx", "GRU", ids=True)
    with pytest.raises(
        QuantizationError, match=f"calibration: chunk holds id {ROWS} at frame 0; wanted 0 to {ROWS - 1}"
    ):
        quantize(ids, tmp_path / "q.onnx", calibration=[np.full(60, ROWS)])


def test_progress_rises_to_one(tmp_path: Path) -> None:
    shares: list[float] = []
    quantize(write(tmp_path / "m.onnx", "LSTM"), tmp_path / "q.onnx", calibration=smooth(), progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


@pytest.mark.parametrize("options", [{}, {"ranges": "mse"}, {"arithmetic": "integer"}])
def test_streams_run_through_the_float_model_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    calls = []

    def counted(*arguments: Any) -> list[Segment]:  # noqa: ANN401  those of observe
        calls.append(arguments)
        return observe(*arguments)

    monkeypatch.setattr("tidegate.quant.calibration.observe", counted)
    source = write(tmp_path / "m.onnx", "LSTM", "linear")
    quantize(source, tmp_path / "q.onnx", calibration=smooth(), method="compensated", **options)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("options", "count"), [({}, 3), ({"ranges": "mse"}, 4), ({"arithmetic": "integer"}, 4), ({"max_bytes": 4000}, 3)]
)
def test_each_graph_is_lowered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], count: int
) -> None:
    """The float graph, that of each method tried, the graph written, and the latter again with ranges or exponents."""
    graphs = []

    def counted(graph: Graph) -> Program:
        graphs.append(graph)
        return lower(graph)

    for module in ("tidegate.quant.quantize", "tidegate.quant.answers.trial"):
        monkeypatch.setattr(import_module(module), "lower", counted)
    source = write(tmp_path / "m.onnx", "LSTM", "linear")
    quantize(source, tmp_path / "q.onnx", calibration=smooth(), method="nearest", **options)
    assert len(graphs) == count


def test_quantizing_twice_gives_the_same_file(tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", "LSTM")
    for name in ("a", "b"):
        quantize(source, tmp_path / name, calibration=smooth())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
