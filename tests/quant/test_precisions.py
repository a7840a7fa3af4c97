"""Any precision of any weight: the file holds what was asked for, and every runtime computes with it."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from tidegate.quant import quantize
from tidegate.quant.rounding.precision import Precision
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.backends.onnxruntime_session import open_session
from tidegate.runtime.backends.onnxruntime_stream import OnnxruntimeStream
from tidegate.runtime.contract import Contract, state_arrays
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.reference import ReferenceStream
from tools.nets import ROWS, Net

CASES = int(os.environ.get("TIDEGATE_CASES", "1000")) // 10
PRECISIONS = [f"W{w}A{a}{g}" for w in (4, 8, 16) for a in (8, 16) for g in ("", "g8", "g32")] + ["float32"]
TYPES = {4: TensorProto.INT4, 8: TensorProto.INT8, 16: TensorProto.INT16, 32: TensorProto.FLOAT}
LARGEST = {4: 7, 8: 127, 16: 32767}
OPTIONS: dict[str, dict[str, Any]] = {
    "LSTM": {},
    "GRU": {"linear_before_reset": 1},
    "RNN": {},
    "RNN relu": {"activations": ["Relu"]},
    "GRU resets first": {"activations": ["HardSigmoid", "Tanh"]},
    "LSTM coupled": {"input_forget": 1, "clip": 2.0, "activations": ["Sigmoid", "Relu", "Softsign"]},
}
WIDTHS = st.sampled_from([1, 5, 8, 9, 31, 32, 33, 40])
FLOAT_TOLERANCE = 1e-5  # the same floats, summed in another order; seen: 5e-7
TOLERANCE = {16: 5e-4, 8: 0.2}  # of answers, by the fewest bits of activations; seen: 5e-5 and 0.06


@st.composite
def nets(draw: st.DrawFn, path: Path) -> Net:
    """Draw a small net of random layers, and save it."""
    net = Net(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw(WIDTHS))
    if draw(st.booleans()):
        net.embedding(draw(WIDTHS))
    kinds = [*OPTIONS, "MatMul"]
    for kind in [draw(st.sampled_from(kinds[:-1])), *draw(st.lists(st.sampled_from(kinds), max_size=2))]:
        if kind == "MatMul":
            net.matmul(draw(WIDTHS))
        else:
            net.cell(kind.split()[0], draw(WIDTHS), **OPTIONS[kind])
    last = draw(st.booleans())
    if last:
        net.gemm(draw(WIDTHS), draw(st.integers(0, 1)))
    net.save(path, draw(st.integers(14, 22)), last=last)
    return net


def dequantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with float weights in place of codes, as onnx's own evaluator dequantizes them."""
    made, tensors = onnx.ModelProto(), {t.name: t for t in model.graph.initializer}
    made.CopyFrom(model)
    del made.graph.node[:]
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear":
            made.graph.node.append(node)
            continue
        output = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
        graph = helper.make_graph([node], "one", [], [output], [tensors[name] for name in node.input])
        (values,) = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])).run(
            None, {}
        )
        made.graph.initializer.append(numpy_helper.from_array(np.asarray(values), node.output[0]))
    return made


def assert_stored_as_asked(model: onnx.ModelProto, net: Net, asked: dict[str, str]) -> None:
    """Assert that types and scales are those of the precisions, and that weights err by at most half a step."""
    tensors, meant = ({t.name: t for t in m.graph.initializer} for m in (model, dequantized(model)))
    for name, text in asked.items():
        precision, exact = Precision.parse(text), net.tensors[name]
        bits, inputs = precision.weight_bits, exact.shape[net.weights[name]]
        stored = tensors[f"{name}.int{bits}" if bits < 32 else name]
        assert stored.data_type == TYPES[bits]
        assert tuple(stored.dims) == exact.shape
        if bits == 32:
            continue
        groups = -(-inputs // (precision.group or inputs))
        assert np.prod(tensors[f"{name}.scale"].dims) == exact.size // inputs * groups
        error = np.max(np.abs(numpy_helper.to_array(meant[name]) - exact), axis=net.weights[name])
        assert np.all(error <= np.max(np.abs(exact), axis=net.weights[name]) / LARGEST[bits] * 0.51 + 2.0**-24)


def signal(net: Net, count: int = 12) -> Array:
    if net.ids:
        return net.rng.integers(0, ROWS, count)
    return net.rng.normal(0, 1, (count, net.features)).astype(np.float32)


def difference(a: Array, b: Array) -> float:
    """Return the largest difference, relative to the largest value or to 0.1, whichever is larger."""
    return float(np.max(np.abs(a - b)) / max(float(np.max(np.abs(b))), 0.1))


@settings(max_examples=CASES)
@given(data=st.data())
def test_any_precision_of_any_weight(data: st.DataObject) -> None:
    """File, specification, engine and onnxruntime agree on the weights."""
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "m.onnx"), Path(folder, "q.onnx")
        net = data.draw(nets(source))
        most = data.draw(st.sampled_from([[p for p in PRECISIONS if "A8" not in p], PRECISIONS]))
        asked = {name: data.draw(st.sampled_from(most)) for name in net.weights}
        report = quantize(source, target, precision=asked)
        assert report.backend.startswith("native")
        engine = load(target)
        folded = np.asarray(load(target, "onnxruntime").stream().push(frames := signal(net)))
        graph = Graph.load(target)
    onnx.checker.check_model(graph.model, full_check=True)
    assert_stored_as_asked(graph.model, net, asked)
    exact, plain = (on_onnxruntime(model, graph.contract, frames) for model in (dequantized(graph.model), graph.model))
    assert max(difference(folded, exact), difference(plain, exact)) <= FLOAT_TOLERANCE
    pushed: Floats = frames[:, None].astype(np.float32) if net.ids else frames
    (specified,) = map(np.asarray, ReferenceStream(lower(graph)).push(pushed).values())
    bits = min(8 if "A8" in text else 16 for text in asked.values())
    assert difference(specified, exact) <= TOLERANCE[bits]
    np.testing.assert_array_equal(np.asarray(engine.stream().push(frames)), specified, strict=True)
    assert isinstance(engine, NativeModel)


def on_onnxruntime(model: onnx.ModelProto, contract: Contract, frames: Array) -> Array:
    """Stream frames through the model without folding its constants."""
    return np.asarray(
        OnnxruntimeStream(open_session(model.SerializeToString()), contract, state_arrays(contract), b"").push(frames)
    )
