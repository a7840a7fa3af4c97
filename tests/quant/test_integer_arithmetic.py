"""Integer arithmetic, from file to file: which operators compute with integers, and how far the answers are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tidegate as tg
from tidegate.quant import QuantizationReport, quantize
from tidegate.runtime.arrays import Floats
from tidegate.runtime.errors import ModelError, QuantizationError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.inspection import inspect_file
from tidegate.runtime.lowering.lower import QUANTIZATION_KEY, lower
from tidegate.runtime.program import Program
from tools.nets import Net

FEATURES = 6
OPTIONS: dict[str, dict[str, Any]] = {
    "GRU": {"linear_before_reset": 1},
    "GRU resets first": {"clip": 4.0},
    "LSTM coupled": {"input_forget": 1},
    "GRU of relu": {"activations": ["Sigmoid", "Relu"]},
}


def smooth(count: int = 4, frames: int = 300) -> list[Floats]:
    """Return streams whose features move slowly and together."""
    rng = np.random.default_rng(4)
    walks = np.cumsum(rng.normal(0, 0.3, (count, frames, 2)), 1)
    return list((np.sin(walks) @ rng.normal(size=(2, FEATURES))).astype(np.float32))


def write(path: Path, *layers: str) -> Path:
    """Write a net of cells of twelve units, linear layers of four, and functions of one value."""
    net = Net(np.random.default_rng(3), FEATURES)
    for layer in layers:
        if layer == "linear":
            net.matmul(4)
        elif layer.split()[0] in ("LSTM", "GRU", "RNN"):
            net.cell(layer.split()[0], 12, **OPTIONS.get(layer, {}))
        else:
            net.add(layer, [net.value])
    net.save(path, 18, last=False)
    return path


def in_integers(source: Path, **options: Any) -> QuantizationReport:  # noqa: ANN401  of quantize
    """Quantize to `q.onnx` next to the source, to nearest by default."""
    options = {"method": "nearest", "calibration": smooth(), "arithmetic": "integer", **options}
    return quantize(source, source.with_name("q.onnx"), **options)


def program_of(path: Path) -> Program:
    return lower(Graph.load(path))


def error(report: QuantizationReport) -> float:
    assert report.calibration is not None
    return report.calibration.error


@pytest.mark.parametrize(
    "layers",
    [
        *(("LSTM",), ("GRU",), ("GRU resets first",), ("LSTM coupled", "linear"), ("LSTM", "LSTM", "linear")),
        *(("GRU", "GRU", "linear", "Relu"), ("LSTM", "linear", "Sigmoid")),
    ],
    ids="-".join,
)
def test_a_whole_net_computes_with_integers_and_stays_close(tmp_path: Path, layers: tuple[str, ...]) -> None:
    """Integer arithmetic errs hardly more than the same codes with float arithmetic."""
    source = write(tmp_path / "m.onnx", *layers)
    in_floats = error(in_integers(source, arithmetic="float", extra=0))
    report = in_integers(source)
    print(f"{'-'.join(layers)}: {error(report):.3g}, with float arithmetic {in_floats:.3g}")
    assert (report.arithmetic, report.float_operators) == ("integer", ())
    assert not any(op.floats for op in program_of(tmp_path / "q.onnx").ops)
    assert error(report) < 1.2 * in_floats + 5e-4
    assert all(weight.precision == "W8A16" for weight in report.weights)


def test_other_runtimes_use_the_weights_and_keep_float_activations(tmp_path: Path) -> None:
    """The file is plain ONNX: onnxruntime's answers differ only by the rounding of activations."""
    in_integers(write(tmp_path / "m.onnx", "LSTM", "GRU", "linear"))
    x = smooth()[0]
    mine, theirs = (
        np.asarray(tg.load(tmp_path / "q.onnx", backend=b).stream().push(x)) for b in ("native", "onnxruntime")
    )
    difference = np.max(np.abs(mine - theirs)) / np.max(np.abs(theirs))
    print(f"at most {difference:.2g} of the largest answer")
    assert 0 < difference < 2e-3


def test_operators_without_an_integer_form_compute_in_floats_and_are_named(tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", "LSTM", "RNN", "GRU of relu", "linear", "Softmax")
    report = in_integers(source)
    kinds = [type(op).__name__ for op in program_of(tmp_path / "q.onnx").ops]
    assert kinds[0] == "IntegerLstm"
    floats = ["Rnn", "GruWithOptions", "Softmax"]
    assert [kind for kind in kinds if kind in floats] == floats
    named = " ".join(report.float_operators)
    assert len(report.float_operators) == 3
    assert "GRU with Sigmoid, Relu has no integer form, wanted Sigmoid, Tanh" in named
    assert "Rnn has no integer form" in named
    assert "Softmax has no integer form" in named


def test_weights_of_other_precisions_compute_in_floats(tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", "LSTM", "linear")
    report = in_integers(source, precision={"*": "W8A16", "net0.*": "W16A16"})
    assert report.float_operators
    assert "its weights have 16 bits" in report.float_operators[0]


def test_constants_become_factors_and_offsets(tmp_path: Path) -> None:
    """Most nets standardize their input so."""
    net, rng = Net(np.random.default_rng(3), FEATURES), np.random.default_rng(5)
    for operator in ("Sub", "Div", "Mul", "Add"):
        net.tensors[operator] = rng.uniform(0.5, 2, FEATURES).astype(np.float32)
        net.add(operator, [net.value, operator])
    net.cell("LSTM", 12)
    net.save(tmp_path / "m.onnx", 18, last=False)
    report = in_integers(tmp_path / "m.onnx")
    assert report.float_operators == ()
    assert [type(op).__name__ for op in program_of(tmp_path / "q.onnx").ops][:5] == ["IntegerAffine"] * 4 + [
        "IntegerLstm"
    ]
    assert error(report) < 0.02


def test_inspection_reports_the_arithmetic(tmp_path: Path) -> None:
    in_integers(write(tmp_path / "m.onnx", "LSTM", "GRU"))
    layers = inspect_file(tmp_path / "q.onnx").layers
    assert [(layer.cell, layer.arithmetic) for layer in layers] == [("LSTM", "integer"), ("GRU", "integer")]
    tg.compile_model(tmp_path / "q.onnx", tmp_path / "q.tide")
    assert [layer.arithmetic for layer in inspect_file(tmp_path / "q.tide").layers] == ["integer", "integer"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calibration": None}, "integer arithmetic needs calibration: streams"),
        ({"arithmetic": "fixed"}, "arithmetic is 'fixed', wanted float or integer"),
    ],
)
def test_options_that_exclude_integer_arithmetic_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(QuantizationError, match=message):
        in_integers(write(tmp_path / "m.onnx", "LSTM"), **options)
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: {"nowhere": [{}]}, r"the graph has no operation \('nowhere', 0\)"),
        (lambda g: {k: [{"input": 3}] for k in g}, "exponents .* do not fit the operation"),
        (
            lambda g: {k: [{**v[0], "input": 61}] for k, v in g.items()},
            "input is 61, wanted 1 whole number of -40 to 60",
        ),
        (lambda g: {k: [{**v[0], "input": 1.5}] for k, v in g.items()}, "input is 1.5, wanted"),
        (
            lambda g: {k: [{**v[0], "state": [3]}] for k, v in g.items()},
            r"state is \[3\], wanted 12 whole numbers of 0 to 15",
        ),
        (lambda g: {k: [{**v[0], "state": [16] * 12}] for k, v in g.items()}, "wanted 12 whole numbers of 0 to 15"),
        (lambda g: dict.fromkeys(g, 7), "integer must give lists by node"),
        (lambda g: {k: [7] for k in g}, "exponents 7 do not fit the operation"),
        (lambda _: [], "integer must give lists by node"),
    ],
)
def test_metadata_that_does_not_fit_the_graph_is_refused(tmp_path: Path, change: Any, message: str) -> None:  # noqa: ANN401
    in_integers(write(tmp_path / "m.onnx", "LSTM"))
    graph = Graph.load(tmp_path / "q.onnx")
    fields = json.loads(graph.metadata(QUANTIZATION_KEY) or "")
    fields["integer"] = change(fields["integer"])
    graph.set_metadata(QUANTIZATION_KEY, json.dumps(fields))
    with pytest.raises(ModelError, match=message):
        lower(Graph(graph.model))
