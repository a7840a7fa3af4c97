"""Quantizing files: what is written, reported and refused."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, version_converter
from tidegate.quant import quantize
from tidegate.quant.answers.own_signal import own_signal
from tidegate.quant.answers.warnings import NOT_COMPARED
from tidegate.quant.answers.ways_out import BOUND
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.errors import ContractError, ModelError, QuantizationError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from tidegate.runtime.lowering.lower import lower
from tools import foreign_files
from tools.nets import Net
from tools.onnx_files import write_lstm


def test_recurrent_and_linear_weights_become_int8_with_a_scale_per_channel(tmp_path: Path) -> None:
    report = quantize(write_lstm(tmp_path / "m.onnx", hidden=64), tmp_path / "m.int8.onnx")
    assert [(w.name, w.shape, w.bits, w.recurrent) for w in report.weights] == [
        ("W", (256, 6), 8, True),
        ("R", (256, 64), 8, True),
        ("V", (3, 64), 8, False),
    ]
    assert all(0 < w.error < 0.01 for w in report.weights)
    assert report.recurrent_float == ()
    assert report.bytes == (tmp_path / "m.int8.onnx").stat().st_size < 0.35 * report.source_bytes
    assert report.backend.startswith("native")
    tensors = {t.name: t for t in Graph.load(tmp_path / "m.int8.onnx").model.graph.initializer}
    assert tensors["R.int8"].data_type == TensorProto.INT8
    assert list(tensors["R.scale"].dims) == [256]
    assert not {"W", "R", "V"} & set(tensors)


def test_written_file_is_standard_onnx(tmp_path: Path) -> None:
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    model = onnx.load(tmp_path / "m.int8.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}


def test_int8_differs_from_float_and_stays_close(tmp_path: Path) -> None:
    """An int8 answer that equals float exactly would mean that nothing was quantized."""
    source = write_lstm(tmp_path / "m.onnx", hidden=64)
    quantize(source, tmp_path / "m.int8.onnx")
    frames = np.random.default_rng(1).normal(0, 1, (50, 6)).astype(np.float32)
    exact = np.asarray(load(source, "onnxruntime").stream().push(frames))
    rounded = np.asarray(load(tmp_path / "m.int8.onnx").stream().push(frames))
    assert 0 < np.max(np.abs(exact - rounded)) < 0.05


@pytest.mark.parametrize("bits", [8, 16])
def test_activation_bits_reach_the_engine(tmp_path: Path, bits: int) -> None:
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx", precision=f"W8A{bits}")
    assert matrices(tmp_path / "m.int8.onnx") == [(8, bits, 0)] * 3
    assert isinstance(load(tmp_path / "m.int8.onnx"), NativeModel)


def matrices(path: Path) -> list[tuple[int, int, int]]:
    """Return the bits of weights, the bits of activations and the group size of W, R and V."""
    ops = lower(Graph.load(path)).ops
    return [(m.weight_bits, m.bits, m.group) for op in ops for m in op.record().matrices]


def test_each_weight_gets_the_last_precision_that_matches_its_name(tmp_path: Path) -> None:
    source, target = write_lstm(tmp_path / "m.onnx", features=40, hidden=36), tmp_path / "q.onnx"
    report = quantize(source, target, precision={"[RV]": "W16A8", "V": "float32", "*": "W4A8g32"})
    assert matrices(target) == [(4, 8, 32), (16, 8, 0), (32, 16, 0)]
    assert [row.precision for row in report.weights] == ["W4A8g32", "W16A8", "float32"]
    assert [(row.bits, row.group, row.activation_bits) for row in report.weights] == [
        (4, 32, 8),
        (16, 0, 8),
        (32, 0, 0),
    ]
    assert report.recurrent_float == ()  # V was asked to stay float
    quantize(source, target, precision={"R": "W8A8g8"})
    assert matrices(target) == [(8, 16, 0), (8, 8, 8), (8, 16, 0)]


def test_a_group_of_all_inputs_is_one_scale_per_channel(tmp_path: Path) -> None:
    report = quantize(write_lstm(tmp_path / "m.onnx", hidden=32), tmp_path / "q.onnx", precision="W8A16g32")
    assert [(row.precision, row.shape[1]) for row in report.weights] == [("W8A16", 6), ("W8A16", 32), ("W8A16", 32)]
    assert Graph.load(tmp_path / "q.onnx").opset() == 18  # int8 with a scale per channel needs no later one


def test_all_float32_is_the_same_model(tmp_path: Path) -> None:
    source = write_lstm(tmp_path / "m.onnx")
    report = quantize(source, tmp_path / "q.onnx", precision="float32")
    assert [(row.precision, row.shape) for row in report.weights] == [
        ("float32", shape) for shape in ((32, 6), (32, 8), (3, 8))
    ]
    frames = np.random.default_rng(1).normal(0, 1, (9, 6)).astype(np.float32)
    same, wanted = (np.asarray(load(path).stream().push(frames)) for path in (tmp_path / "q.onnx", source))
    np.testing.assert_array_equal(same, wanted)


@pytest.mark.parametrize("text", ["", "W8", "w8a16", "W2A8", "W4A4", "W32A16", "W4A8g16", "W4A8 g8", "int8", "W8A16g"])
def test_unknown_precisions_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(QuantizationError, match=f"precision is {text!r}, wanted W4, W8 or W16, then A8 or A16"):
        quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "q.onnx", precision={"R": text})
    assert not (tmp_path / "q.onnx").exists()


def test_a_pattern_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuantizationError, match=r"no weight matches 'lstm\.\*'; there are W, R, V"):
        quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "q.onnx", precision={"lstm.*": "W4A8"})
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_an_older_operator_set_is_converted_if_the_precision_needs_it(tmp_path: Path, opset: int) -> None:
    """Names, metadata and other initializers survive, and so do onnxruntime's answers but for rounding."""
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    graph.model.opset_import[0].version, graph.model.ir_version = opset, 8
    graph.set_metadata("author", "me")
    graph.save(tmp_path / "m.onnx")
    target = tmp_path / "q.onnx"
    quantize(tmp_path / "m.onnx", target, precision={"*": "float32", "W": "W16A16"})
    made = Graph.load(target)
    assert (made.opset(), made.model.ir_version) == (21, 10)
    assert (made.metadata("author"), made.contract) == ("me", graph.contract)
    kept = {t.name: numpy_helper.to_array(t) for t in made.model.graph.initializer}
    for tensor in graph.model.graph.initializer:
        if tensor.name != "W":
            np.testing.assert_array_equal(kept.pop(tensor.name), numpy_helper.to_array(tensor), strict=True)
    assert kept.keys() == {"W.int16", "W.scale"}
    for values in ("input", "output"):
        assert getattr(made.model.graph, values) == getattr(graph.model.graph, values)
    kept_nodes = [n for n in made.nodes if n.op_type != "DequantizeLinear"]
    for one, other in zip(kept_nodes, graph.nodes, strict=True):
        assert (one.op_type, one.name, one.input, one.output) == (other.op_type, other.name, other.input, other.output)
    frames = np.random.default_rng(1).normal(0, 1, (9, 6)).astype(np.float32)
    exact, seen = (
        np.asarray(load(path, "onnxruntime").stream().push(frames)) for path in (tmp_path / "m.onnx", target)
    )
    np.testing.assert_allclose(seen, exact, rtol=0, atol=1e-4)  # W has 16 bits


def test_an_operator_set_that_cannot_be_converted_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise version_converter.ConvertError("no adapter")

    monkeypatch.setattr(version_converter, "convert_version", refuse)
    source = write_lstm(tmp_path / "m.onnx")
    message = r"set 18 cannot be converted to 21, .*\(no adapter\); export it with 21, or choose W8A16 or W8A8"
    with pytest.raises(QuantizationError, match=message):
        quantize(source, tmp_path / "q.onnx", precision="W4A8")
    assert quantize(source, tmp_path / "q.onnx").backend.startswith("native")


def test_weight_through_identity_is_quantized(tmp_path: Path) -> None:
    """Tools that merge equal initializers write such files."""
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    graph.model.graph.node.insert(0, helper.make_node("Identity", ["R"], ["R2"]))
    next(n for n in graph.nodes if n.op_type == "LSTM").input[2] = "R2"
    graph.save(tmp_path / "m.onnx")
    quantize(tmp_path / "m.onnx", tmp_path / "q.onnx", precision={"R2": "W4A8"})
    onnx.checker.check_model(onnx.load(tmp_path / "q.onnx"), full_check=True)
    assert matrices(tmp_path / "q.onnx") == [(8, 16, 0), (4, 8, 0), (8, 16, 0)]


def test_recurrent_weight_that_is_not_constant_is_reported_as_float(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    zero = numpy_helper.from_array(np.zeros((), np.float32), "zero")
    graph.model.graph.initializer.append(zero)
    graph.model.graph.node.insert(0, helper.make_node("Add", ["R", "zero"], ["R2"]))
    next(n for n in graph.nodes if n.op_type == "LSTM").input[2] = "R2"
    graph.save(tmp_path / "m.onnx")
    report = quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    assert [(w.name, w.reason) for w in report.recurrent_float] == [("R2", "not a constant of the graph")]
    assert report.backend == "onnxruntime"


def test_embedding_table_becomes_int8_with_a_scale_per_id(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    table = np.random.default_rng(0).normal(0, 1, (10, 6)).astype(np.float32)
    graph.model.graph.initializer.append(numpy_helper.from_array(table, "table"))
    graph.model.graph.node.insert(0, helper.make_node("Gather", ["table", "x"], ["looked up"], name="embedding"))
    next(n for n in graph.nodes if n.op_type == "LSTM").input[0] = "looked up"
    ids = helper.make_tensor_value_info("x", TensorProto.INT64, ["time", "batch"])
    graph.model.graph.input[0].CopyFrom(ids)
    graph.save(tmp_path / "m.onnx")
    report = quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    row = next(w for w in report.weights if w.name == "table")
    assert (row.shape, row.bits, row.recurrent) == ((10, 6), 8, False)
    assert report.backend.startswith("native")
    model = onnx.load(tmp_path / "m.int8.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {t.name: list(t.dims) for t in model.graph.initializer}["table.scale"] == [10]
    seen = load(tmp_path / "m.int8.onnx", "native").stream().push(np.arange(10))
    wanted = load(tmp_path / "m.int8.onnx", "onnxruntime").stream().push(np.arange(10))
    np.testing.assert_allclose(np.asarray(seen), np.asarray(wanted), atol=1e-4)


# ---- the answers ----


@pytest.mark.parametrize("precision", ["W16A16", "W8A16", "W8A8", "W4A16", "float32"])
def test_the_report_says_how_far_the_answers_are_from_float(tmp_path: Path, precision: str) -> None:
    source, target = write_lstm(tmp_path / "m.onnx", hidden=32), tmp_path / "q.onnx"
    report = quantize(source, target, precision=precision)
    assert report.answers is not None
    for name, frames in own_signal(Graph.load(source)).items():
        streams = load(source).stream(), load(target).stream()
        exact, made = (np.array([stream.push(frame[None]) for frame in frames], np.float64) for stream in streams)
        error = np.sqrt(np.sum((made - exact) ** 2) / np.sum(exact**2))
        assert report.answers.levels[name] == pytest.approx(error, rel=1e-6)
    assert list(report.answers.errors) == ["output"]
    assert report.answers.error == max(report.answers.levels.values())
    assert bool(report.warnings) == (report.answers.error > BOUND)


def test_row_45_answers_that_err_too_much_are_a_warning_whose_advice_helps(tmp_path: Path) -> None:
    source, target = write_lstm(tmp_path / "m.onnx", hidden=32), tmp_path / "q.onnx"
    (warning,) = quantize(source, target, precision="W4A8").warnings
    assert re.search(r"the answers err by \d+% of their root mean square on noise of [01.]+, above 10%", warning)
    found = re.search(r"choose precision (.*): then they err by ([0-9.]+)%", warning)
    assert found is not None
    advised = dict(pattern.split("=") for pattern in found[1].split(", "))
    after = quantize(source, target, precision={"*": "W4A16" if "A16 in place of A8" in warning else "W4A8"} | advised)
    assert after.warnings == ()
    assert after.answers is not None
    assert f"{100 * after.answers.error:.2g}" == found[2]


def test_calibrated_answers_are_those_of_the_held_out_frames(tmp_path: Path) -> None:
    streams = list(np.random.default_rng(0).standard_normal((5, 60, 6), np.float32))
    report = quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "q.onnx", calibration=streams, method="nearest")
    assert report.answers is not None
    assert report.calibration is not None
    assert (report.answers.signal, report.answers.frames) == ("calibration frames held out", 60)
    assert (report.answers.error, report.answers.errors) == (report.calibration.error, report.calibration.errors)
    assert report.warnings == ()


@pytest.mark.parametrize(("limit", "warned"), [({}, True), ({"max_error": 0.9}, False)])
def test_a_stated_error_is_the_bound_of_the_warning(tmp_path: Path, limit: dict[str, float], warned: bool) -> None:
    streams = list(np.random.default_rng(0).standard_normal((5, 60, 6), np.float32))
    source, target, fixed = write_lstm(tmp_path / "m.onnx", hidden=32), tmp_path / "q.onnx", {"?": "W4A16"}
    report = quantize(source, target, calibration=streams, method="nearest", precision=fixed, **limit)  # type: ignore[arg-type]
    assert report.answers is not None
    assert report.answers.error > BOUND
    assert bool(report.warnings) == warned
    assert not warned or "calibration frames held out, above 10%; choose precision" in report.warnings[0]


def test_ids_are_compared_too(tmp_path: Path) -> None:
    net = Net(np.random.default_rng(0), 1)
    net.embedding(6)
    net.cell("GRU", 5, linear_before_reset=1)
    net.save(tmp_path / "m.onnx", 18, last=False)
    report = quantize(tmp_path / "m.onnx", tmp_path / "q.onnx")
    assert report.answers is not None
    assert 0 < report.answers.error < BOUND
    assert list(report.answers.levels) == ["random ids"]


def test_a_model_that_grows_for_ever_is_not_compared_and_calibration_is_the_way_out(tmp_path: Path) -> None:
    net, source = Net(np.random.default_rng(0), 6), tmp_path / "m.onnx"
    net.cell("RNN", 5, activations=["Relu"])
    net.tensors["net0.R"] = 1.5 * np.eye(5, dtype=np.float32)[None]
    net.save(source, 18, last=False)
    report = quantize(source, tmp_path / "q.onnx")
    assert (report.answers, report.warnings) == (None, (NOT_COMPARED,))
    streams = list(np.random.default_rng(0).standard_normal((5, 20, 6), np.float32))
    report = quantize(source, tmp_path / "q.onnx", calibration=streams, method="nearest")
    assert report.answers is not None
    assert (report.answers.frames, report.warnings) == (20, ())


def no_recurrent_node(path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value("x", 1, [1])], [value("y", 1, [1])])
    path.write_bytes(helper.make_model(graph).SerializeToString())


def test_file_without_recurrent_node_is_refused(tmp_path: Path) -> None:
    no_recurrent_node(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"no recurrent node \(LSTM, GRU, RNN\) in the graph, only Relu"):
        quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    assert not (tmp_path / "m.int8.onnx").exists()


def test_file_without_contract_is_refused(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    del graph.model.metadata_props[:]
    graph.save(tmp_path / "m.onnx")
    with pytest.raises(ContractError, match=r"no tidegate\.contract"):
        quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")


def test_quantized_twice_is_refused(tmp_path: Path) -> None:
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    with pytest.raises(QuantizationError, match="already quantized; start from the float file"):
        quantize(tmp_path / "m.int8.onnx", tmp_path / "again.onnx")


def test_weight_with_nan_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    tensor = next(t for t in graph.model.graph.initializer if t.name == "R")
    values = numpy_helper.to_array(tensor).copy()
    values[0, 3, 2] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(values, "R"))
    graph.save(tmp_path / "m.onnx")
    (tmp_path / "m.int8.onnx").write_bytes(b"the old file")
    with pytest.raises(QuantizationError, match="LSTM 'lstm': weight 'R' holds NaN or infinity"):
        quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    assert (tmp_path / "m.int8.onnx").read_bytes() == b"the old file"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.int8.onnx", "m.onnx"]


@pytest.mark.parametrize(("name", "operator"), [("R", "LSTM 'lstm'"), ("V", "Gemm 'head'")])
def test_a_weight_that_codes_do_not_reach_is_refused_by_name(tmp_path: Path, name: str, operator: str) -> None:
    """It was clipped to 1.4e14 before. Left float, as the message says, the file is written."""
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    tensor = next(t for t in graph.model.graph.initializer if t.name == name)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[3] = -3e38
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    graph.save(tmp_path / "m.onnx")
    message = f"{operator}: weight '{name}' holds 3e[+]38, and codes of 8 bits reach 1.4e[+]14; .* {name}=float32"
    with pytest.raises(QuantizationError, match=message):
        quantize(tmp_path / "m.onnx", tmp_path / "q.onnx")
    assert not (tmp_path / "q.onnx").exists()
    report = quantize(tmp_path / "m.onnx", tmp_path / "q.onnx", precision={name: "float32"})
    assert report.answers is not None
    assert report.answers.error < BOUND


@pytest.mark.parametrize("precision", ["W8A16", "W4A16"])
def test_row_138_a_lifted_file_whose_weights_are_codes_is_quantized_again(tmp_path: Path, precision: str) -> None:
    """The report compares with the values of its codes. Its codes are not kept beside the new ones."""
    from tidegate.export import lift

    onnx.save(foreign_files.quantized(tmp_path, foreign_files.torch_zeros()), tmp_path / "theirs.onnx")
    lift(tmp_path / "theirs.onnx", tmp_path / "m.onnx")
    report = quantize(tmp_path / "m.onnx", tmp_path / "q.onnx", precision=precision)
    assert not report.recurrent_float
    assert {w.precision for w in report.weights if w.recurrent} == {precision}
    assert report.answers is not None
    assert report.answers.error < (0.01 if precision == "W8A16" else 0.3)
    x = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    seen, wanted = (np.asarray(load(tmp_path / name).stream().push(x)) for name in ("q.onnx", "m.onnx"))
    assert np.abs(seen - wanted).max() <= (0.02 if precision == "W8A16" else 0.5) * np.abs(wanted).max()
    tensors = onnx.load(tmp_path / "q.onnx").graph.initializer
    assert sum(tensor.name.endswith(".scale") for tensor in tensors) == len(report.weights)
