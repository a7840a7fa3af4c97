"""The proof of weights: float operators have those of the integer operators in whose place they are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import QuantType
from tidegate.export.foreign.dequantized import replace_integers
from tidegate.export.foreign.integer_weights import prove_weights
from tidegate.runtime.errors import ExportError
from tools import foreign_files


def strided() -> onnx.ModelProto:
    """Return a convolution in groups, with a dilation, and a product with a weight of three axes."""
    file = foreign_files.ForeignFile(17)
    x = file.input("x", [2, 4, "time"])
    options = {"kernel_shape": [3], "dilations": [2], "group": 2, "pads": [4, 0]}
    y = file.add("Conv", [x, file.weight(6, 2, 3), file.weight(6)], **options)
    file.output(
        file.add("MatMul", [file.add("Transpose", [y], perm=[0, 2, 1]), file.weight(2, 6, 3)], "y"), [2, "time", 3]
    )
    return file.model()


FILES: dict[str, Callable[[], onnx.ModelProto]] = {
    "LSTM": foreign_files.torch_zeros,
    "starts": lambda: foreign_files.torch_zeros(factor=0.1),
    "states": lambda: foreign_files.with_states([("h", "hn"), ("c", "cn")]),
    "table and convolution": foreign_files.tagger,
    "groups": strided,
}


@pytest.mark.parametrize("kind", [QuantType.QInt8, QuantType.QUInt8], ids=["int8", "uint8"])
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
def test_the_weights_of_each_operator_are_proved(
    tmp_path: Path, name: str, kind: QuantType, *, per_channel: bool
) -> None:
    per_channel &= name != "groups"  # onnxruntime runs no scale per channel of a weight with three axes
    model = foreign_files.quantized(tmp_path, FILES[name](), per_channel=per_channel, weight_type=kind)
    before = model.SerializeToString()
    assert replace_integers(model)
    prove_weights(before, model.SerializeToString())


def _spoilt(tensor: onnx.TensorProto) -> None:
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.roll(values, 1).reshape(values.shape), tensor.name))


@pytest.mark.parametrize(
    ("name", "of", "operator"),
    [
        ("LSTM", ".W.int8", "DynamicQuantizeLSTM"),
        ("LSTM", ".R.int8", "DynamicQuantizeLSTM"),
        ("LSTM", "weight.int8", "Mul"),
        ("table and convolution", "weight.int8", "Mul"),
        ("table and convolution", ".table", "DequantizeLinear"),
        ("groups", "weight.int8", "Mul"),
    ],
)
def test_a_weight_that_is_another_is_found(tmp_path: Path, name: str, of: str, operator: str) -> None:
    model = foreign_files.quantized(tmp_path, FILES[name](), weight_type=QuantType.QInt8)
    before = model.SerializeToString()
    replace_integers(model)
    _spoilt(next(tensor for tensor in model.graph.initializer if of in tensor.name and tensor.dims))
    with pytest.raises(ExportError, match=rf"^{operator} .*: on inputs that 8 bits hold exactly, it differs from"):
        prove_weights(before, model.SerializeToString())


def test_a_scale_that_is_another_is_found(tmp_path: Path) -> None:
    model = foreign_files.quantized(tmp_path, FILES["LSTM"](), per_channel=True, weight_type=QuantType.QInt8)
    before = model.SerializeToString()
    replace_integers(model)
    _spoilt(next(t for t in model.graph.initializer if t.name.endswith(".R.scale")))
    with pytest.raises(ExportError, match=r"by 0\.\d+ of the largest value, wanted at most 0.0001"):
        prove_weights(before, model.SerializeToString())


def test_an_operator_that_onnxruntime_refuses_is_no_fault_of_the_graph(tmp_path: Path) -> None:
    model = foreign_files.quantized(tmp_path, strided(), per_channel=True)
    before = model.SerializeToString()
    replace_integers(model)
    with pytest.raises(ExportError, match=r"onnxruntime cannot run an operator .*DynamicQuantizeMatMul"):
        prove_weights(before, model.SerializeToString())


def test_a_file_of_floats_has_nothing_to_prove() -> None:
    data = foreign_files.torch_zeros().SerializeToString()
    prove_weights(data, data)
