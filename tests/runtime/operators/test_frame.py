"""Operators inside a frame of several axes: against onnxruntime, and by hand."""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from tidegate.runtime.arrays import Floats
from tidegate.runtime.operators import Convolution, Depthwise, Geometry, Take
from tidegate.runtime.operators.matrix import FLOAT, Matrix, Reading

onnxruntime = pytest.importorskip("onnxruntime")

TOLERANCE = 2e-6  # of sums of up to 36 products of order 1, in another order; seen: 7e-7


def _matrix(floats: Floats) -> Matrix:
    return Matrix(floats, np.ones((len(floats), 1), np.float32), Reading.FRAME, 16, FLOAT)


def test_take_gives_features_in_any_order_and_zeros() -> None:
    x = np.arange(1, 7, dtype=np.float32)
    (y, _) = Take((0,), np.array([4, -1, 0]), 2).step((), x)
    assert y.tolist() == [5, 6, 0, 0, 1, 2]


def _random(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


@st.composite
def geometries(draw: st.DrawFn) -> tuple[Geometry, list[int]]:
    """Draw a geometry as a convolution of ONNX has it, and the zeros at its ends."""
    pairs = [(draw(st.integers(1, 7)), *(draw(st.integers(1, most)) for most in (3, 3, 2))) for _ in range(2)]
    ends = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(2)]
    ends = [(b, max(a, (k - 1) * d + 1 - s - b)) for (s, k, _, d), (b, a) in zip(pairs, ends, strict=True)]
    answers = [(s + b + a - (k - 1) * d - 1) // t + 1 for (s, k, t, d), (b, a) in zip(pairs, ends, strict=True)]
    size, kernel, stride, dilation = zip(*pairs, strict=True)
    before, after = zip(*ends, strict=True)
    return Geometry(size, kernel, stride, dilation, before, (answers[0], answers[1])), [*before, *after]


def _in_onnxruntime(  # noqa: PLR0917
    x: Floats, w: Floats, bias: Floats, where: Geometry, pads: list[int], groups: int
) -> Floats:
    given: dict[str, Any] = {"strides": where.stride, "dilations": where.dilation, "pads": pads, "group": groups}
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], kernel_shape=where.kernel, **given)
    tensors = [onnx.numpy_helper.from_array(v, name) for v, name in ((w, "w"), (bias, "b"))]
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)
    graph = helper.make_graph([node], "conv", [value], [onnx.ValueInfoProto(name="y")], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answer: Floats = session.run(None, {"x": x})[0]
    return answer


@given(drawn=geometries(), channels=st.integers(1, 4), outputs=st.integers(1, 5), seed=st.integers(0, 99))
def test_a_convolution_equals_onnxruntime(
    drawn: tuple[Geometry, list[int]], channels: int, outputs: int, seed: int
) -> None:
    where, pads = drawn
    x, w = _random(seed, 1, channels, *where.size), _random(seed + 1, outputs, channels, *where.kernel)
    bias = _random(seed + 2, outputs)
    wanted = _in_onnxruntime(x, w, bias, where, pads, 1)[0]
    matrix = _matrix(w.reshape(outputs, -1))
    seen, _ = Convolution((0,), matrix, bias, where).step((), x.ravel())
    first, _ = Convolution((0,), matrix, bias, where, answers_first=True).step((), x.ravel())
    np.testing.assert_array_equal(first.reshape(-1, outputs).T.ravel(), seen)
    error = np.abs(seen - wanted.ravel()).max() / max(1, np.abs(wanted).max())
    print(f"{error:.1e}")
    assert error <= TOLERANCE


@given(drawn=geometries(), channels=st.integers(1, 4), each=st.integers(1, 2), seed=st.integers(0, 99))
def test_a_convolution_of_single_channels_equals_onnxruntime(
    drawn: tuple[Geometry, list[int]], channels: int, each: int, seed: int
) -> None:
    where, pads = drawn
    x, w = _random(seed, 1, channels, *where.size), _random(seed + 1, channels * each, 1, *where.kernel)
    bias = _random(seed + 2, channels * each)
    wanted = _in_onnxruntime(x, w, bias, where, pads, channels)[0]
    seen, _ = Depthwise((0,), _matrix(w.reshape(len(w), -1)), bias, where).step((), x.ravel())
    assert np.abs(seen - wanted.ravel()).max() <= TOLERANCE * max(1, np.abs(wanted).max())


def test_weights_of_a_depthwise_convolution_are_codes_times_scales() -> None:
    codes = np.array([[1, -2], [3, 4]], np.int8)
    w = Matrix(codes, np.array([[0.5], [0.25]], np.float32), Reading.FRAME, 16, 8)
    op = Depthwise((0,), w, np.zeros(2, np.float32), Geometry((1, 2), (1, 2)))
    y, _ = op.step((), np.array([1, 2, 3, 4], np.float32))
    assert y.tolist() == [0.5 * (1 - 4), 0.25 * (9 + 16)]
