"""Convolutions inside a frame on the engine, against onnxruntime."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import tidegate
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.operators import Convolution
from tools.foreign_files import ForeignFile

pytest.importorskip("onnxruntime")  # lift needs it for its proof

TOLERANCE = {"float32": 5e-6, "int8": 2e-4}  # of answers of order 1; int8: 16-bit activations against float ones


def _model(width: int, layers: list[dict[str, int]], mode: str = "", ends: tuple[int, int] = (0, 0)) -> ForeignFile:
    """A model of one frame per run: padding, convolutions with ReLU inside the frame, then an LSTM."""
    file = ForeignFile(17)
    value = file.input("frame", ["N", width])
    if mode:
        value = file.add("Pad", [value, file.axes(0, ends[0], 0, ends[1])], mode=mode)
    value, channels, positions = file.add("Unsqueeze", [value, file.axes(1)]), 1, width + sum(ends)
    for layer in layers:
        kernel, stride, dilation, pad = (layer[key] for key in ("kernel", "stride", "dilation", "pad"))
        out, groups = layer["out"], layer.get("groups", 1)
        weights = [file.weight(out, channels // groups, kernel), file.weight(out)]
        value = file.add("Conv", [value, *weights], kernel_shape=[kernel], strides=[stride], dilations=[dilation],
                         pads=[pad, pad], group=groups)  # fmt: skip
        value = file.add("Sqrt", [file.add("Abs", [file.add("Relu", [value])])])
        positions = (positions + 2 * pad - (kernel - 1) * dilation - 1) // stride + 1
        channels = out
    value = file.add("Conv", [value, file.weight(4, channels, positions)], kernel_shape=[positions])
    x = file.add("Unsqueeze", [file.squeezed(value, 2), file.axes(0)])
    states = [file.input(f"{kind}_in", [1, "N", 6]) for kind in "hc"]
    _, *finals = file.cell("LSTM", x, 4, 6, states)
    file.output(file.add("Identity", [file.squeezed(finals[0], 0)], "answer"), ["N", 6])
    for kind, final in zip("hc", finals, strict=True):
        file.output(file.add("Identity", [final], f"{kind}_out"), [1, "N", 6])
    return file


def _differences(file: ForeignFile, folder: Path) -> dict[str, float]:
    """Lift, quantize, and stream on both backends."""
    onnx.save(file.model(), folder / "vendor.onnx")
    tidegate.lift(folder / "vendor.onnx", folder / "float32.onnx")
    tidegate.quantize(folder / "float32.onnx", folder / "int8.onnx")
    width = file.inputs[0].type.tensor_type.shape.dim[1].dim_value
    x = np.random.default_rng(0).standard_normal((12, width)).astype(np.float32)
    return {name: _difference(folder / f"{name}.onnx", x) for name in TOLERANCE}


def _difference(path: Path, x: Array) -> float:
    native, other = tidegate.load(path).stream(), tidegate.load(path, "onnxruntime").stream()
    seen = np.concatenate([native.push(x[i : i + 5]) for i in range(0, len(x), 5)])
    return float(np.abs(seen - other.push(x)).max())


_LAYERS = st.fixed_dictionaries(
    {
        "kernel": st.integers(1, 4),
        "stride": st.integers(1, 3),
        "dilation": st.integers(1, 2),
        "pad": st.integers(0, 2),
        "out": st.sampled_from([2, 4]),
    }
)


@settings(max_examples=10, derandomize=True)
@given(layers=st.lists(_LAYERS, min_size=1, max_size=3), mode=st.sampled_from(["", "reflect", "constant", "edge"]))
def test_any_convolution_equals_onnxruntime(
    tmp_path_factory: pytest.TempPathFactory, layers: list[dict[str, int]], mode: str
) -> None:
    file = _model(30, layers, mode, (2, 3) if mode else (0, 0))
    for name, difference in _differences(file, tmp_path_factory.mktemp("within")).items():
        assert difference <= TOLERANCE[name], name


@pytest.mark.parametrize("groups", [2, 20])
def test_groups_equal_onnxruntime(groups: int, tmp_path: Path) -> None:
    plain = {"kernel": 3, "stride": 2, "dilation": 1, "pad": 1, "out": 2 * groups}
    differences = _differences(_model(16, [plain, {**plain, "groups": groups}]), tmp_path)
    print(differences)
    assert all(difference <= TOLERANCE[name] for name, difference in differences.items())


def _native(file: ForeignFile, folder: Path) -> dict[str, float]:
    """Return the differences, printed, of a file that must run on the engine."""
    differences = _differences(file, folder)
    print(differences)
    return differences


def test_row_86_a_convolution_of_many_answers_is_one_operation(tmp_path: Path) -> None:
    file = _model(100, [{"kernel": 3, "stride": 1, "dilation": 1, "pad": 1, "out": 2}])
    assert all(difference <= TOLERANCE[name] for name, difference in _native(file, tmp_path).items())
    program = lower(Graph.load(tmp_path / "float32.onnx"))
    assert [type(op) for op in program.ops].count(Convolution) == 1
    assert len(program.ops) < 12


def test_a_vector_along_channels_is_broadcast(tmp_path: Path) -> None:
    file = _model(16, [{"kernel": 3, "stride": 2, "dilation": 1, "pad": 1, "out": 2}])
    relu = next(node for node in file.nodes if node.op_type == "Relu")
    file.constant(np.array([[[2.0], [-3.0]]], np.float32), "gain")
    relu.op_type = "Mul"
    relu.input.append("gain")
    assert all(difference <= TOLERANCE[name] for name, difference in _native(file, tmp_path).items())


def test_many_groups_that_are_not_single_channels_are_refused(tmp_path: Path) -> None:
    plain = {"kernel": 1, "stride": 1, "dilation": 1, "pad": 0, "out": 140}
    onnx.save(_model(8, [plain, {**plain, "groups": 70}]).model(), tmp_path / "foreign.onnx")
    tidegate.lift(tmp_path / "foreign.onnx", tmp_path / "out.onnx")
    with pytest.raises(UnsupportedError, match=r"it has 70 groups of 2 channels, wanted 1 to 64 or one channel each"):
        tidegate.load(tmp_path / "out.onnx")


def test_a_frame_of_too_many_features_is_refused_by_its_node(tmp_path: Path) -> None:
    file = _model(512, [{"kernel": 1, "stride": 1, "dilation": 1, "pad": 0, "out": 40}])
    onnx.save(file.model(), tmp_path / "foreign.onnx")
    tidegate.lift(tmp_path / "foreign.onnx", tmp_path / "out.onnx")
    with pytest.raises(UnsupportedError, match=r"it makes 20480 features per frame, the engine takes at most 16384"):
        tidegate.load(tmp_path / "out.onnx")
