"""Files in other float types are lifted in float32: exactly, as far as their weights are."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.export import lift
from tidegate.export.foreign.single_precision import make_single
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.gate import parts
from tidegate.runtime.load import load
from tools import foreign_files
from tools.graphs import floats, model_of

TYPES = {"float64": TensorProto.DOUBLE, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
NAMES = {"float64": "double"}


def _to(model: onnx.ModelProto, kind: int) -> onnx.ModelProto:
    """Return a copy of a float32 model in another float type."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for message in parts(made):
        if isinstance(message, TensorProto) and message.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(message).astype(helper.tensor_dtype_to_np_dtype(kind))
            message.CopyFrom(numpy_helper.from_array(values, message.name))
        elif isinstance(message, onnx.TypeProto.Tensor) and message.elem_type == TensorProto.FLOAT:
            message.elem_type = kind
    return made


def _rounded(model: onnx.ModelProto, kind: int) -> onnx.ModelProto:
    made = _to(model, kind)
    make_single(made)
    return made


def _streamed(model: onnx.ModelProto, folder: Path, frames: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    onnx.save(model, folder / "foreign.onnx")
    report = lift(folder / "foreign.onnx", folder / "out.onnx")
    return np.asarray(load(folder / "out.onnx").stream().push(frames)), report.done


@pytest.mark.parametrize("make", [foreign_files.torch_zeros, foreign_files.with_states])
@pytest.mark.parametrize("name", TYPES)
def test_row_58_files_of_other_float_types_stream_as_their_weights_in_float32(
    tmp_path: Path, make: object, name: str
) -> None:
    model, kind = make(), TYPES[name]  # type: ignore[operator] # one of the two functions
    width = model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value
    x = floats(11, width)
    wanted, _ = _streamed(_rounded(model, kind), tmp_path, x)
    seen, done = _streamed(_to(model, kind), tmp_path, x)
    np.testing.assert_array_equal(seen, wanted)
    assert f"Its floats were {NAMES.get(name, name)}; now all are float32." in done


def test_a_file_with_casts_around_its_half_precision_is_lifted(tmp_path: Path) -> None:
    """Converters that keep float32 inputs and outputs write such files."""
    model = foreign_files.with_states()
    x = floats(11, 5)
    wanted, _ = _streamed(_rounded(model, TensorProto.FLOAT16), tmp_path, x)
    half = _to(model, TensorProto.FLOAT16)
    for item in (*half.graph.input, *half.graph.output):
        item.type.tensor_type.elem_type = TensorProto.FLOAT
        for node in half.graph.node:
            node.input[:] = [f"{name}/half" if name == item.name else name for name in node.input]
            node.output[:] = [f"{name}/half" if name == item.name else name for name in node.output]
    casts = [
        helper.make_node("Cast", [item.name], [f"{item.name}/half"], to=TensorProto.FLOAT16)
        for item in half.graph.input
    ]
    for item in half.graph.output:
        half.graph.node.append(helper.make_node("Cast", [f"{item.name}/half"], [item.name], to=TensorProto.FLOAT))
    nodes = [*casts, *half.graph.node]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    onnx.checker.check_model(half, full_check=True)
    seen, _ = _streamed(half, tmp_path, x)
    np.testing.assert_array_equal(seen, wanted)


def test_values_beyond_float32_are_refused_and_infinite_values_stay() -> None:
    def model(value: float) -> onnx.ModelProto:
        node = helper.make_node("Constant", [], ["big"], value=numpy_helper.from_array(np.array([value]), "big"))
        return model_of([node, helper.make_node("Identity", ["x"], ["y"])], {"x": [3]}, ["y"])

    assert make_single(model(-np.inf)) == ["double"]
    message = r"'big' is double and has a value of 1e\+300, .*; put a smaller number in its place, and export the mod"
    with pytest.raises(UnsupportedError, match=message):
        make_single(model(-1e300))
    assert make_single(model(-1e30)) == ["double"]


def test_a_file_in_float32_stays_as_it_is() -> None:
    model = foreign_files.keras()
    before = model.SerializeToString()
    assert make_single(model) == []
    assert model.SerializeToString() == before
