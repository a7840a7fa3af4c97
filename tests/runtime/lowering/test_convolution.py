"""Causal convolutions with a carried tail: the engine agrees with onnxruntime, and other forms are refused by name."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tidegate.quant import quantize
from tidegate.quant.rounding.nearest import rounded
from tidegate.runtime.arrays import Floats
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.backends.onnxruntime import OnnxruntimeModel
from tidegate.runtime.contract import METADATA_KEY, Contract, Port, State
from tidegate.runtime.errors import ChunkError, ContractError, PlanError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.inspection import inspect_file
from tidegate.runtime.load import compile_graph, compile_model, load
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.operators import Linear, Slot, Window
from tidegate.runtime.plan.writer import compile_program, seal
from tidegate.runtime.program import Matrix, Program, Reading

CHANNELS, OUT, HIDDEN = 6, 5, 4
TOLERANCE = 2e-4  # 16-bit activations against float ones, on values of order 1


def conv_graph(
    kernel: int = 3,
    dilation: int = 2,
    *,
    group: int = 1,
    bias: bool = True,
    float32: bool = False,
    **changes: Any,  # noqa: ANN401  attributes
) -> Graph:
    """Return x `[batch, time, channels]` -> Conv with its tail -> y `[batch, out, time]`.

    Args:
        kernel: Number of taps; with 1 there is no tail.
        dilation: Frames between them.
        group: Groups of channels.
        bias: Whether there is a bias.
        float32: Float weights and an LSTM after the convolution, for `quantize`.
        changes: Other `frames` of the tail, `start` of the Slice, or attributes of the Conv.
    """
    rng = np.random.default_rng(0)
    frames = changes.pop("frames", (kernel - 1) * dilation)
    rows = OUT * group
    weights = rng.normal(0, 0.4, (rows, CHANNELS // group, kernel)).astype(np.float32)
    tensors = {"b": rng.normal(0, 0.3, rows).astype(np.float32), "end": np.array([2**62]), "axis": np.array([-1])}
    tensors["start"] = np.array([changes.pop("start", -frames)])
    nodes = [helper.make_node("Transpose", ["x"], ["f"], perm=[0, 2, 1])]
    if float32:
        tensors["w"] = weights
    else:
        codes, scales = rounded(weights.reshape(rows, -1), 8)
        tensors["scales"] = scales[:, 0]
        tensors["codes"] = codes.reshape(weights.shape)
        nodes.append(helper.make_node("DequantizeLinear", ["codes", "scales"], ["w"], axis=0))
    states = []
    if kernel > 1:
        states = [State("conv.tail_in", "conv.tail_out", "tail", ("batch", CHANNELS, frames))]
        nodes.append(helper.make_node("Concat", ["conv.tail_in", "f"], ["e"], name="join", axis=2))
        nodes.append(helper.make_node("Slice", ["e", "start", "end", "axis"], ["conv.tail_out"], name="keep"))
    attributes: dict[str, Any] = {
        "kernel_shape": [kernel],
        "dilations": [dilation],
        "group": group,
        "pads": [0, 0],
    } | changes
    operands = ["e" if kernel > 1 else "f", "w", *(["b"] if bias else [])]
    nodes.append(helper.make_node("Conv", operands, ["y"], name="conv", **attributes))
    return _graph(nodes, tensors, states, rows)


def _graph(nodes: list[onnx.NodeProto], tensors: dict[str, Any], states: list[State], rows: int) -> Graph:
    value, kind = helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    inputs = [value("x", kind, ["batch", "time", CHANNELS]), *(value(s.input, kind, s.shape) for s in states)]
    outputs = [value("y", kind, ["batch", rows, "time"]), *(value(s.output, kind, s.shape) for s in states)]
    initializers = [numpy_helper.from_array(v, k) for k, v in tensors.items()]
    body = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    graph = Graph(helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=9))
    contract = Contract((Port("x", 1, 0),), (Port("y", 2, 0),), tuple(states))
    graph.set_metadata(METADATA_KEY, contract.to_json())
    return graph


def noise(count: int = 60) -> Floats:
    return np.random.default_rng(1).normal(0, 1, (count, CHANNELS)).astype(np.float32)


def streamed(model: NativeModel | OnnxruntimeModel, at: list[int]) -> tuple[Floats, Floats]:
    """Return all answers `[frames, out]` and the final tail."""
    stream, frames = model.stream(), noise()
    answers = [np.asarray(stream.push(frames[a:b])) for a, b in pairwise(at)]
    return np.concatenate(answers), next(iter(stream.state().values()), np.zeros(0, np.float32))


@pytest.mark.parametrize(
    "options",
    [
        *({}, {"kernel": 2, "dilation": 1}, {"kernel": 5, "dilation": 9}, {"kernel": 1, "dilation": 1}),
        *({"bias": False}, {"group": 2}, {"group": CHANNELS, "kernel": 4}, {"auto_pad": "NOTSET"}),
    ],
)
def test_engine_agrees_with_onnxruntime(options: dict[str, Any]) -> None:
    graph = conv_graph(**options)
    at = [0, 1, 2, 19, 60]
    engine, other = (streamed(model, at) for model in (NativeModel(compile_graph(graph)), OnnxruntimeModel(graph)))
    answers = other[0]
    error = float(np.abs(engine[0] - answers).max() / np.abs(answers).max())
    print(f"{options}: {error:.1e}")
    assert error <= TOLERANCE
    np.testing.assert_array_equal(engine[1], other[1], strict=True)
    np.testing.assert_array_equal(engine[0], streamed(NativeModel(compile_graph(graph)), [0, 60])[0], strict=True)


def test_convolution_is_a_window_and_a_linear_layer_in_the_order_of_the_weight() -> None:
    window, linear = lower(conv_graph()).ops
    assert isinstance(window, Window)
    assert isinstance(linear, Linear)
    assert (window.kernel, window.dilation, window.channels, window.tail) == (3, 2, CHANNELS, Slot("conv.tail_in", 0))
    codes = next(t for t in conv_graph().model.graph.initializer if t.name == "codes")
    np.testing.assert_array_equal(linear.w.codes, numpy_helper.to_array(codes).reshape(OUT, -1))
    assert linear.w.reading is Reading.FRAME


def test_kernel_of_one_frame_is_a_linear_layer() -> None:
    assert [type(op) for op in lower(conv_graph(kernel=1)).ops] == [Linear]


def test_window_gives_the_taps_of_each_channel_oldest_first() -> None:
    window = Window((0,), 3, 2, 2, Slot("tail", 0))
    state = window.initial()
    for t in range(6):
        taps, state = window.step(state, np.array([t + 1, -t - 1], np.float32))
    np.testing.assert_array_equal(taps, [2, 4, 6, -2, -4, -6])
    np.testing.assert_array_equal(state[0].reshape(2, 4), [[3, 4, 5, 6], [-3, -4, -5, -6]])


def test_quantizer_takes_the_weight_of_a_convolution_by_rows(tmp_path: Path) -> None:
    graph = conv_graph(float32=True)
    rng, main = np.random.default_rng(2), graph.model.graph
    shapes = {"W": (1, 4 * HIDDEN, OUT), "R": (1, 4 * HIDDEN, HIDDEN)}
    main.initializer.extend(
        numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name) for name, shape in shapes.items()
    )
    main.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
    main.node.extend(
        [
            helper.make_node("Transpose", ["y"], ["frames"], perm=[2, 0, 1]),
            helper.make_node(
                "LSTM", ["frames", "W", "R", "", "", "h_in", "c_in"], ["Y", "h_out", "c_out"], hidden_size=HIDDEN
            ),
            helper.make_node("Squeeze", ["Y", "one"], ["z"]),
        ]
    )
    shape: tuple[int | str, ...] = (1, "batch", HIDDEN)
    states = [State(f"{k}_in", f"{k}_out", k, shape) for k in "hc"]
    kind = onnx.TensorProto.FLOAT
    main.input.extend(helper.make_tensor_value_info(s.input, kind, shape) for s in states)
    main.output.extend(helper.make_tensor_value_info(s.output, kind, shape) for s in states)
    main.output[0].CopyFrom(helper.make_tensor_value_info("z", kind, ["time", "batch", HIDDEN]))
    contract = Contract((Port("x", 1, 0),), (Port("z", 0, 1),), (*graph.contract.states, *states))
    graph.set_metadata(METADATA_KEY, contract.to_json())
    graph.save(tmp_path / "m.onnx")
    report = quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    assert {row.name: (row.shape, row.bits) for row in report.weights}["w"] == ((OUT, 3 * CHANNELS), 8)
    assert report.backend.startswith("native")
    seen, wanted = (
        np.asarray(load(tmp_path / "m.int8.onnx", backend).stream().push(noise()))
        for backend in ("native", "onnxruntime")
    )
    np.testing.assert_allclose(seen, wanted, rtol=0, atol=TOLERANCE)
    compile_model(tmp_path / "m.int8.onnx", tmp_path / "m.tide")
    assert [layer.name for layer in inspect_file(tmp_path / "m.tide").layers] == ["h_in[0]"]


def taps_plan(dilation: int) -> bytes:
    """Return two taps of two channels, and a product that leaves the range if the taps are large."""
    window = Window((0,), 2, dilation, 2, Slot("conv.tail_in", 0))
    doubling = Matrix(np.full((1, 4), 2, np.int8), np.ones((1, 1), np.float32), Reading.FRAME, 16)
    program = Program(2, (window, Linear((1,), doubling, np.zeros(1, np.float32))), (("y", 1),))
    state = State("conv.tail_in", "conv.tail_out", "tail", ("batch", 2, dilation))
    return compile_program(program, Contract((Port("x", 0, None),), (Port("y", 0, None),), (state,)))


def test_values_keep_their_bits_and_a_refused_push_leaves_the_tail() -> None:
    stream = NativeModel(taps_plan(20)).stream()
    frames = np.array([[-0.0, 1e-40], [2.0**64, 3]], np.float32)
    stream.push(np.repeat(frames[:1], 25, axis=0))
    before = stream.state()["conv.tail_in"]
    assert np.all(np.signbit(before[0, 0]))
    np.testing.assert_array_equal(before[0, 1], np.full(20, 1e-40, np.float32))
    with pytest.raises(ChunkError):
        stream.push(np.array([[np.nan, 0]], np.float32))
    with pytest.raises(ChunkError, match="left 2"):
        stream.push(np.repeat(frames[1:], 25, axis=0))
    after = stream.state()["conv.tail_in"]
    np.testing.assert_array_equal(after.view(np.int32), before.view(np.int32), strict=True)
    stream.reset()
    assert not np.any(stream.state()["conv.tail_in"])


@pytest.mark.parametrize(
    ("kernel", "dilation", "message"),
    [
        (1, 1, "kernel is 1, wanted 2"),
        (2, 0, "dilation is 0, wanted 1"),
        (2, 2**20 + 1, "dilation is 1048577, wanted 1048576"),
        (2, 2**20, "tail is 2097152, wanted 1048576"),
        (2**31, 1, "width is 16385, wanted 16384"),
        (0, 1, "width is 0, wanted 1"),
    ],
)
def test_damaged_windows_are_refused(kernel: int, dilation: int, message: str) -> None:
    damaged = bytearray(taps_plan(1))
    damaged[128 + 16 : 128 + 24] = np.array([kernel, dilation], "<u4").tobytes()
    with pytest.raises(PlanError, match=message):
        NativeModel(seal(damaged))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": [2]}, r"Conv 'conv': strides are \[2\], wanted \[1\]"),
        ({"pads": [1, 1]}, r"Conv 'conv': pads are \[1, 1\], wanted \[0, 0\]"),
        ({"auto_pad": "SAME_LOWER"}, "Conv 'conv': auto_pad is SAME_LOWER, wanted NOTSET"),
        ({"frames": 5}, r"Conv 'conv': its state 'conv.tail_in' has shape .*, wanted 6 x 4 values last"),
        ({"start": -3}, "Slice 'keep': it does not keep the last 4 frames"),
        ({"group": 4}, "Conv 'conv': its weights .* in 4 groups do not fit 6 channels"),
    ],
)
def test_other_convolutions_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(
        UnsupportedError, match=f"{message}.*; (use backend='onnxruntime'|no backend runs that; export)"
    ):
        lower(conv_graph(**changes))


def edited(*dropped: str, **inputs: str) -> Graph:
    """Return the usual graph without some nodes; their readers read other values, given by name."""
    graph = conv_graph()
    kept = [node for node in graph.nodes if node.name not in dropped]
    for node in kept:
        node.input[:] = [inputs.get(name, name) for name in node.input]
    del graph.model.graph.node[:]
    graph.model.graph.node.extend(kept)
    return Graph(graph.model)


def test_convolution_without_its_tail_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="Conv 'conv': its 3 taps need frames of earlier pushes; lift it with `"):
        lower(edited("join", "keep", e="f"))


def test_tail_that_no_convolution_reads_is_refused() -> None:
    graph = edited("conv")
    graph.model.graph.node.append(helper.make_node("Relu", ["f"], ["y"]))
    with pytest.raises(ContractError, match=r"'conv.tail_out' does not come from the layers that read 'conv.tail_in'"):
        lower(Graph(graph.model))


def test_too_many_groups_for_a_dense_matrix_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.runtime.lowering.convolution.MOST_DENSE", 100)
    with pytest.raises(UnsupportedError, match=r"dense matrix of 180 weights, .*; train it with fewer groups or ch"):
        lower(conv_graph(group=2))
    assert lower(conv_graph()).ops
