"""The LSTM with projection: its specification against torch in float64, and its Scan in ONNX."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tidegate.quant.rounding.nearest import rounded
from tidegate.runtime.arrays import Floats
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.backends.onnxruntime import OnnxruntimeModel
from tidegate.runtime.cells import LSTM, Activation, CellOptions
from tidegate.runtime.contract import METADATA_KEY, Contract, Port, State
from tidegate.runtime.errors import ChunkError, PlanError, UnsupportedError
from tidegate.runtime.graph.cell_options import cell_options
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.graph.projected_lstm import projected_lstm, with_weights
from tidegate.runtime.load import compile_graph
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.operators import Linear, LstmProjected, LstmWithOptions, Slot, is_hidden
from tidegate.runtime.operators.matrix import FLOAT
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Matrix, Program, Reading
from tidegate.runtime.reference import ReferenceStream
from tools.random_layers import lstm_projected
from tools.streams import contract_of

RELU = Activation("Relu")
FEATURES, HIDDEN, PROJECTED = 6, 20, 7
SHAPES = {"W": (FEATURES, 4 * HIDDEN), "R": (PROJECTED, 4 * HIDDEN), "P": (HIDDEN, PROJECTED), "B": (4 * HIDDEN,)}


def noise(count: int = 60) -> Floats:
    return np.random.default_rng(1).normal(0, 1, (count, FEATURES)).astype(np.float32)


def reordered(rows: Floats) -> Floats:
    i, f, g, o = np.split(rows, 4)
    return np.concatenate([i, o, f, g])


def float_matrix(values: Floats, reading: Reading) -> Matrix:
    kept = np.where(np.abs(values) < 2.0**-40, np.float32(0), values)
    return Matrix(kept, np.ones((len(values), 1), np.float32), reading, 16, FLOAT)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
@pytest.mark.parametrize("bias", [True, False])
def test_specification_equals_torch_in_float64(bias: bool) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.LSTM(FEATURES, HIDDEN, proj_size=PROJECTED, bias=bias)
    parts = {name: values.detach().numpy() for name, values in module.state_dict().items()}
    sums = sum((parts[f"bias_{k}_l0"] for k in ("ih", "hh") if bias), np.zeros(4 * HIDDEN, np.float32))
    cell = LstmProjected(
        (0,),
        float_matrix(reordered(parts["weight_ih_l0"]), Reading.FRAME),
        float_matrix(reordered(parts["weight_hh_l0"]), Reading.FRAME),
        float_matrix(parts["weight_hr_l0"], Reading.HIDDEN),
        reordered(sums),
        Slot("h", 0),
        Slot("c", 0),
    )
    stream = ReferenceStream(Program(FEATURES, (cell,), (("y", 1),)))
    seen = [stream.push(noise())["y"], *stream.states()]
    with torch.no_grad():
        y, finals = module.double()(torch.from_numpy(noise().astype(np.float64)))
    wanted = [y.numpy(), *(state[0].numpy() for state in finals)]
    error = max(float(np.abs(a - b).max()) for a, b in zip(seen, wanted, strict=True))
    print(f"largest difference {error:.1e}")
    assert error < 2e-6


def test_layers_above_read_it_by_frame() -> None:
    rng = np.random.default_rng(0)
    assert not is_hidden(lstm_projected(rng, 0, (FEATURES, HIDDEN, PROJECTED), Reading.FRAME, 16))


# ---- the Scan ----


def scan_graph(
    *, layers: int = 1, quantized: bool = True, options: CellOptions = LSTM.plain, peepholes: bool = False
) -> Graph:
    """Return x `[time, batch, features]` -> a stack -> Y `[time, 1, batch, projected]`, squeezed."""
    inner = SHAPES | ({"V": (3 * HIDDEN,)} if peepholes else {})
    rng, tensors, nodes, states = np.random.default_rng(0), {"one": np.array([1])}, [], []
    source = "x"
    for n in range(layers):
        shapes = inner | ({"W": (PROJECTED, 4 * HIDDEN)} if n else {})
        for key, shape in shapes.items():
            values = rng.normal(0, 0.4, shape).astype(np.float32)
            if key in "BV" or not quantized:
                tensors[f"{key}{n}"] = values
                continue
            codes, scales = rounded(values.T, 8)
            tensors |= {f"{key}{n}.codes": np.ascontiguousarray(codes.T), f"{key}{n}.scales": scales[:, 0]}
            nodes.append(
                helper.make_node("DequantizeLinear", [f"{key}{n}.codes", f"{key}{n}.scales"], [f"{key}{n}"], axis=1)
            )
        ends = [f"l{n}.h_in", f"l{n}.c_in", source], [f"l{n}.h_out", f"l{n}.c_out", f"Y{n}"]
        nodes.append(projected_lstm(f"l{n}", *ends, {key: f"{key}{n}" for key in inner}, options))
        source = f"y{n}" if n + 1 < layers else "y"
        nodes.append(helper.make_node("Squeeze", [f"Y{n}", "one"], [source]))
        sizes = {"h": PROJECTED, "c": HIDDEN}
        states += [State(f"l{n}.{k}_in", f"l{n}.{k}_out", k, (1, "batch", size)) for k, size in sizes.items()]
    return _graph(nodes, tensors, states)


def _graph(nodes: list[onnx.NodeProto], tensors: dict[str, Any], states: list[State]) -> Graph:
    value, kind = helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    inputs = [value("x", kind, ["time", "batch", FEATURES]), *(value(s.input, kind, s.shape) for s in states)]
    outputs = [value("y", kind, ["time", "batch", PROJECTED]), *(value(s.output, kind, s.shape) for s in states)]
    initializers = [numpy_helper.from_array(v, k) for k, v in tensors.items()]
    body = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    graph = Graph(model)
    graph.set_metadata(METADATA_KEY, Contract((Port("x", 0, 1),), (Port("y", 0, 1),), tuple(states)).to_json())
    return graph


def test_engine_agrees_with_onnxruntime() -> None:
    graph = scan_graph(layers=2)
    streams = NativeModel(compile_graph(graph)).stream(), OnnxruntimeModel(graph).stream()
    seen, wanted = (np.concatenate([np.asarray(s.push(noise()[a:b])) for a, b in ((0, 1), (1, 60))]) for s in streams)
    assert float(np.abs(seen - wanted).max() / np.abs(wanted).max()) <= 3e-4
    for name, values in streams[1].state().items():
        np.testing.assert_allclose(streams[0].state()[name], values, rtol=0, atol=1e-3)


FORMS: dict[str, tuple[CellOptions, bool]] = {
    "peepholes": (LSTM.plain, True),
    "coupled": (replace(LSTM.plain, coupled=True), False),
    "clip": (replace(LSTM.plain, clip=0.5), False),
    "activations": (
        CellOptions((Activation("HardSigmoid", 0.25, 0.5), Activation("Elu", 0.5), Activation("Softsign"))),
        False,
    ),
    "all": (CellOptions((Activation("Sigmoid"), RELU, Activation("Softsign")), clip=0.75, coupled=True), True),
}


@pytest.mark.parametrize("form", FORMS)
def test_options_are_found_in_the_step_and_run_as_in_onnxruntime(form: str) -> None:
    options, peepholes = FORMS[form]
    graph = scan_graph(quantized=False, options=options, peepholes=peepholes)
    (layer,) = lower(graph).ops
    assert isinstance(layer, LstmWithOptions)
    assert layer.options == options
    assert (layer.peepholes is not None) == peepholes
    streams = NativeModel(compile_graph(graph)).stream(), OnnxruntimeModel(graph).stream()
    seen, wanted = (np.concatenate([np.asarray(s.push(noise()[a:b])) for a, b in ((0, 1), (1, 60))]) for s in streams)
    error = float(np.abs(seen - wanted).max() / np.abs(wanted).max())
    print(f"{form}: largest difference over largest value {error:.1e}, allowed 1e-6")
    assert error <= 1e-6
    for node in (scan_of(graph), renamed(scan_of(graph))):
        flat = with_weights(node)
        assert flat is not None
        assert cell_options(flat) == options


def test_lowering_gives_each_matrix_its_reading() -> None:
    first, second = lower(scan_graph(layers=2)).ops
    for op in (first, second):
        assert isinstance(op, LstmProjected)
        assert [m.reading for m in (op.w, op.r, op.p)] == [Reading.FRAME, Reading.FRAME, Reading.HIDDEN]
        assert op.p.codes.shape == (PROJECTED, HIDDEN)


def scan_of(graph: Graph) -> onnx.NodeProto:
    return next(node for node in graph.nodes if node.op_type == "Scan")


def body_of(node: onnx.NodeProto) -> onnx.GraphProto:
    return next(a.g for a in node.attribute if a.name == "body")


def renamed(node: onnx.NodeProto) -> onnx.NodeProto:
    """Return the same step with other names inside, as other tools write it."""
    made = onnx.NodeProto.FromString(node.SerializeToString())
    body = body_of(made)
    own = {name for part in body.node for name in part.output} | {value.name for value in body.input}
    numbers = {name: f"v{i}" for i, name in enumerate(sorted(own))}
    for part in body.node:
        part.input[:] = [numbers.get(name, name) for name in part.input]
        part.output[:] = [numbers[name] for name in part.output]
    for value in (*body.input, *body.output):
        value.name = numbers[value.name]
    return made


def test_step_is_known_whatever_its_names() -> None:
    node = scan_of(scan_graph())
    for seen in (with_weights(node), with_weights(renamed(node))):
        assert seen is not None
        assert list(seen.input) == ["x", "W0", "R0", "P0", "B0", "l0.h_in", "l0.c_in"]
        assert list(seen.output) == ["l0.h_out", "l0.c_out", "Y0"]


def other_activation(node: onnx.NodeProto) -> None:
    body_of(node).node[8].op_type = "Erf"


def other_gate(node: onnx.NodeProto) -> None:
    """One gate only."""
    body_of(node).node[6].op_type = "Tanh"


def swapped_gates(node: onnx.NodeProto) -> None:
    first, second = body_of(node).node[5:7]
    first.input[0], second.input[0] = second.input[0], first.input[0]


def other_axis(node: onnx.NodeProto) -> None:
    body_of(node).node[4].attribute[0].i = 0


def backwards(node: onnx.NodeProto) -> None:
    node.attribute.append(helper.make_attribute("scan_input_directions", [1]))


def other_state(node: onnx.NodeProto) -> None:
    body_of(node).output[1].name = body_of(node).output[0].name


def longer(node: onnx.NodeProto) -> None:
    body_of(node).node.append(helper.make_node("Identity", ["x"], ["more"]))


@pytest.mark.parametrize(
    "change", [swapped_gates, other_activation, other_gate, other_axis, backwards, other_state, longer]
)
def test_other_scans_are_not_taken_for_it_and_refused_by_name(change: Callable[[onnx.NodeProto], None]) -> None:
    graph = scan_graph()
    node = scan_of(graph)
    change(node)
    assert with_weights(node) is None
    with pytest.raises(UnsupportedError, match="Scan 'l0': its body is not the step of an LSTM with projection"):
        lower(graph)


def test_float_weights_stay_float() -> None:
    (layer,) = lower(scan_graph(quantized=False)).ops
    assert isinstance(layer, LstmProjected)
    assert {matrix.weight_bits for matrix in (layer.w, layer.r, layer.p)} == {FLOAT}


# ---- the engine ----


def plan(scale: float = 2.0**-7, changes: Mapping[str, Reading] = MappingProxyType({})) -> bytes:
    """Return one unit whose h is `scale` times 127 times its output; `changes` replace readings of matrices."""
    matrices = {
        key: Matrix(np.full((rows, 1), 127, np.int8), np.full((rows, 1), s, np.float32), changes.get(key, reading), 16)
        for key, rows, s, reading in (
            ("w", 4, 2.0**-7, Reading.FRAME),
            ("r", 4, 2.0**-40, Reading.FRAME),
            ("p", 1, scale, Reading.HIDDEN),
        )
    }
    cell = LstmProjected((0,), **matrices, bias=np.zeros(4, np.float32), h=Slot("l.h", 0), c=Slot("l.c", 0))
    double = Matrix(np.full((1, 1), 127, np.int8), np.full((1, 1), 2.0**30, np.float32), Reading.FRAME, 16)
    program = Program(1, (cell, Linear((1,), double, np.zeros(1, np.float32))), (("y", 2),))
    return compile_program(program, contract_of(program))


def test_h_beyond_the_range_refuses_the_push_and_keeps_the_state() -> None:
    stream = NativeModel(plan(2.0**28)).stream()
    stream.push(np.full((3, 1), 1e-6, np.float32))
    before = stream.state()
    with pytest.raises(ChunkError, match="left 2"):
        stream.push(np.full((20, 1), 1, np.float32))
    for name, values in stream.state().items():
        np.testing.assert_array_equal(values, before[name], strict=True)


def test_tiny_h_becomes_zero() -> None:
    stream = NativeModel(plan(2.0**-40)).stream()
    stream.push(np.full((1, 1), 2.0**-20, np.float32))
    state = stream.state()
    assert state["l.c"] != 0
    assert state["l.h"] == 0
    assert not np.signbit(state["l.h"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r": Reading.HIDDEN}, "operation 0: r.reading is 2, wanted 1"),
        ({"p": Reading.FRAME}, "operation 0: p.reading is 1, wanted 2"),
    ],
)
def test_plans_with_other_readings_are_refused(changes: dict[str, Reading], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        NativeModel(plan(changes=changes))


def test_scan_that_lacks_an_end_or_an_attribute_is_none() -> None:
    node = projected_lstm("l", ["h", "c", "x"], ["last_h", "last_c", "y"], {})
    assert with_weights(node) is not None
    for place in ("input", "output", "attribute"):
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        del getattr(changed, place)[0]
        assert with_weights(changed) is None, place
