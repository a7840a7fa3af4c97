"""Files of onnxruntime's quantize_dynamic: their codes are kept, their activations become floats."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import tidegate
from kernels.building import run
from onnx import numpy_helper
from onnxruntime.quantization import QuantType
from tidegate.benchmarks.peers.onnxruntime import products_saturate
from tidegate.export import LiftReport, lift
from tidegate.export.foreign import opening
from tidegate.export.foreign.dequantized import replace_integers
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ExportError, UnsupportedError
from tidegate.runtime.inspection import inspect_file
from tools import foreign_files
from tools.processors import WITHOUT_VNNI, emulated_python


def _lift(folder: Path, model: onnx.ModelProto) -> LiftReport:
    onnx.save(model, folder / "foreign.onnx")
    return lift(folder / "foreign.onnx", folder / "out.onnx")


def _difference(path: Path, x: Array) -> float:
    native, other = tidegate.load(path).stream(), tidegate.load(path, "onnxruntime").stream()
    seen = np.concatenate([native.push(x[i : i + 5]) for i in range(0, len(x), 5)])
    return float(np.abs(seen - other.push(x)).max())


@pytest.mark.parametrize("weights", [QuantType.QInt8, QuantType.QUInt8], ids=["int8", "uint8"])
@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
def test_dynamic_quantize_lstm(tmp_path: Path, weights: QuantType, *, per_channel: bool) -> None:
    model = foreign_files.quantized(tmp_path, foreign_files.torch_zeros(), per_channel=per_channel, weight_type=weights)
    codes = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name.endswith("_quantized")}
    report = _lift(tmp_path, model)
    engine, floats = (
        [c.error for c in report.checks if not c.must_differ and ("native" in c.name) == on] for on in (1, 0)
    )
    assert max(floats) <= 1e-6
    assert max(engine) <= 1e-4  # seen: 4e-5, from activations of 16 bits
    (on_noise,) = report.integers
    assert on_noise.signal == "noise"
    assert 0 < on_noise.activation_error <= 0.02  # seen: 0.013, exact products on every processor
    assert report.warnings == ()
    lifted = onnx.load(tmp_path / "out.onnx")
    assert {node.op_type for node in lifted.graph.node} >= {"LSTM", "DequantizeLinear"}
    assert [opset.domain for opset in lifted.opset_import] == [""]
    stored = {t.name: numpy_helper.to_array(t) for t in lifted.graph.initializer if t.name.endswith(".int8")}
    first = next(node for node in lifted.graph.node if node.op_type == "LSTM")
    np.testing.assert_array_equal(stored[f"{first.input[1]}.int8"], np.swapaxes(next(iter(codes.values())), 1, 2))
    x = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    assert _difference(tmp_path / "out.onnx", x) <= 1e-4  # 16-bit activations; seen: 3e-5
    facts = inspect_file(tmp_path / "out.onnx")
    assert facts.backend is not None
    assert facts.backend.startswith("native")
    assert [layer.weight_bits for layer in facts.layers] == [(8, 8), (8, 8)]


@pytest.mark.slow  # under an emulator
def test_products_that_saturate_are_named_and_not_judged(tmp_path: Path) -> None:
    """With AVX2 and without VNNI the answers of the original are 25 % off; they do not judge the lifted file."""
    model = foreign_files.quantized(tmp_path, foreign_files.torch_zeros(), per_channel=True)
    here = _lift(tmp_path, model)
    files = tmp_path / "foreign.onnx", "-o", tmp_path / "there.onnx"
    there = json.loads(run(*emulated_python(WITHOUT_VNNI), "-m", "tidegate", "lift", *files, "--json"))
    assert (tmp_path / "there.onnx").read_bytes() == (tmp_path / "out.onnx").read_bytes()
    (own,), (other,) = here.integers, there["integers"]
    assert other["activation_error"] == pytest.approx(own.activation_error, rel=1e-3)
    assert other["saturation_error"] == pytest.approx(0.247, abs=0.01)
    assert re.search(r"^On this processor onnxruntime's 8-bit products saturate: .* by 24\.\d\d% of", there["done"][-1])
    if not products_saturate():
        assert own.saturation_error == 0
        assert here.done == tuple(there["done"][:-1])


def test_a_file_of_floats_has_no_errors_of_integers(tmp_path: Path) -> None:
    report = _lift(tmp_path, foreign_files.torch_zeros())
    assert (report.integers, report.warnings) == ((), ())


def test_weights_that_became_others_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof's other half: codes and scales of the lifted file are those of the integer operators."""
    model = foreign_files.quantized(tmp_path, foreign_files.torch_zeros(), weight_type=QuantType.QInt8)

    def spoilt(model: onnx.ModelProto) -> list[str]:
        replaced = replace_integers(model)
        codes = next(tensor for tensor in model.graph.initializer if tensor.name.endswith(".int8"))
        codes.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(codes)[:, ::-1], codes.name))
        return replaced

    monkeypatch.setattr(opening, "replace_integers", spoilt)
    with pytest.raises(
        ExportError, match=r"DynamicQuantizeLSTM .*: on inputs that 8 bits hold exactly, it differs from the float"
    ):
        _lift(tmp_path, model)


def test_states_of_a_quantized_file_are_paired(tmp_path: Path) -> None:
    model = foreign_files.quantized(tmp_path, foreign_files.with_states([("h", "hn"), ("c", "cn")]))
    states = _lift(tmp_path, model).contract.states
    assert [(state.input, state.output) for state in states] == [("h", "hn"), ("c", "cn")]


def test_tables_and_convolutions_around_it(tmp_path: Path) -> None:
    model = foreign_files.quantized(tmp_path, foreign_files.tagger())
    assert {"DynamicQuantizeLSTM", "ConvInteger", "Gather"} <= {node.op_type for node in model.graph.node}
    _lift(tmp_path, model)
    lifted = onnx.load(tmp_path / "out.onnx")
    coded = sum(node.op_type == "DequantizeLinear" for node in lifted.graph.node)
    assert coded == 3, "W, R and the convolution's; the table has a zero point"
    ids = np.random.default_rng(0).integers(0, 50, 40)
    assert _difference(tmp_path / "out.onnx", ids) <= 1e-4


def test_zero_points_that_no_code_can_say_become_floats(tmp_path: Path) -> None:
    model = foreign_files.quantized(tmp_path, foreign_files.torch_zeros(), weight_type=QuantType.QUInt8)
    replace_integers(model)
    product = next(node for node in model.graph.node if node.op_type == "MatMul")
    assert product.input[1] in {t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT}


def test_other_integer_operators_are_refused(tmp_path: Path) -> None:
    model = foreign_files.quantized(tmp_path, foreign_files.torch_zeros())
    cast = next(node for node in model.graph.node if node.op_type == "Cast")
    cast.op_type = "Identity"
    del cast.attribute[:]
    with pytest.raises(
        UnsupportedError, match=r"DynamicQuantizeLinear '.*': it turns activations into integers, wanted"
    ):
        _lift(tmp_path, model)
    assert not (tmp_path / "out.onnx").exists()


def test_weights_that_are_not_constant_are_refused(tmp_path: Path) -> None:
    model = foreign_files.quantized(tmp_path, foreign_files.torch_zeros())
    node = next(node for node in model.graph.node if node.op_type == "DynamicQuantizeLSTM")
    node.input[1] = "elsewhere"
    with pytest.raises(
        UnsupportedError, match=r"DynamicQuantizeLSTM '.*': 'elsewhere' is not constant, wanted constant"
    ):
        _lift(tmp_path, model)
