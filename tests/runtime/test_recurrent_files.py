"""GRU and RNN files from ONNX through the quantizer to the engine, against onnxruntime."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tidegate.runtime.load as models
from onnx import helper, numpy_helper
from tidegate.quant import quantize
from tidegate.runtime.arrays import Floats
from tidegate.runtime.contract import METADATA_KEY, Contract, Port, State
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.inspection import inspect_file
from tidegate.runtime.program import Elementwise, Gru, Last, Linear, Op, Reading, Rnn

FEATURES, HIDDEN = 6, 20
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
GRU = {"linear_before_reset": 1}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("GRU", GRU),
    ("RNN", {}),
    ("RNN", {"activations": ["Tanh"]}),
    ("RNN", {"activations": ["Relu"]}),
    ("LSTM", {}),
    ("GRU", {}),
    ("GRU", {"activations": ["HardSigmoid", "Softsign"], "clip": 2.0}),
    ("RNN", {"activations": ["ScaledTanh"], "activation_alpha": [0.9], "activation_beta": [1.25]}),
    ("LSTM", {"activations": ["Sigmoid", "Relu", "Softsign"], "input_forget": 1, "clip": 3.0}),
]


def write_stack(
    path: Path,
    cell: str,
    options: dict[str, Any],
    *,
    layers: int = 2,
    bias: bool = True,
    operands: dict[int, str] | None = None,
) -> Path:
    """Write a float streaming file: a stack of a cell, all frames as `y`, the last h of the top as `last`."""
    rng = np.random.default_rng(0)
    tensors = [numpy_helper.from_array(np.array([1]), "one"), numpy_helper.from_array(np.array([0]), "zero")]
    tensors.append(numpy_helper.from_array(np.array([1], np.int32), "lengths"))
    nodes, states, source, width = [], [], "x", FEATURES
    for n in range(layers):
        shapes: dict[str, tuple[int, ...]] = {"W": (GATES[cell] * HIDDEN, width), "R": (GATES[cell] * HIDDEN, HIDDEN)}
        shapes |= {"B": (2 * GATES[cell] * HIDDEN,)} if bias else {}
        for name, shape in shapes.items():
            values = rng.normal(0, 0.2, (1, *shape)).astype(np.float32)
            tensors.append(numpy_helper.from_array(values, f"{name}{n}"))
        kinds = "hc" if cell == "LSTM" else "h"
        inputs = [source, f"W{n}", f"R{n}", f"B{n}" if bias else "", "", *(f"l{n}.{k}_in" for k in kinds)]
        for position, name in (operands or {}).items():
            inputs[position] = name
        outputs = [f"Y{n}", *(f"l{n}.{k}_out" for k in kinds)]
        nodes.append(helper.make_node(cell, inputs, outputs, name=f"l{n}", hidden_size=HIDDEN, **options))
        source, width = ("y" if n == layers - 1 else f"y{n}"), HIDDEN
        nodes.append(helper.make_node("Squeeze", [f"Y{n}", "one"], [source]))
        states += [State(f"l{n}.{k}_in", f"l{n}.{k}_out", k, (1, "batch", HIDDEN)) for k in kinds]
    nodes.append(helper.make_node("Squeeze", [f"l{layers - 1}.h_out", "zero"], ["last"]))
    contract = Contract((Port("x", 0, 1),), (Port("y", 0, 1), Port("last", None, 0)), tuple(states))
    path.write_bytes(_model(nodes, contract, tensors).SerializeToString())
    return path


def _model(nodes: list[onnx.NodeProto], contract: Contract, tensors: list[onnx.TensorProto]) -> onnx.ModelProto:
    def value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    state: list[int | str] = [1, "batch", HIDDEN]
    inputs = [value("x", ["time", "batch", FEATURES]), *(value(s.input, state) for s in contract.states)]
    outputs = [value("y", ["time", "batch", HIDDEN]), value("last", ["batch", HIDDEN])]
    outputs += [value(s.output, state) for s in contract.states]
    graph = helper.make_graph(nodes, "stack", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    model.metadata_props.append(onnx.StringStringEntryProto(key=METADATA_KEY, value=contract.to_json()))
    return model


def answers(path: Path, backend: models.Backend, frames: Floats, at: list[int]) -> tuple[Floats, Floats]:
    """Push frames in chunks; return all frames of `y` and the final `last`."""
    stream = models.load(path, backend).stream()
    pieces = [stream.push(frames[a:b]) for a, b in pairwise(at)]
    assert all(isinstance(piece, dict) for piece in pieces)
    found = [piece for piece in pieces if isinstance(piece, dict)]
    return np.concatenate([piece["y"] for piece in found]), found[-1]["last"]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("cell", "options"), CASES)
def test_engine_agrees_with_onnxruntime(cell: str, options: dict[str, Any], bias: bool, tmp_path: Path) -> None:
    """The int8 weights are the same; only activations are rounded to 16 bits."""
    source = write_stack(tmp_path / "m.onnx", cell, options, bias=bias)
    report = quantize(source, tmp_path / "m.int8.onnx")
    assert report.backend.startswith("native")
    assert [row.bits for row in report.weights] == [8] * 4
    frames = np.random.default_rng(1).normal(0, 1, (200, FEATURES)).astype(np.float32)
    at = [0, 1, 2, 33, 200]
    seen, wanted = (answers(tmp_path / "m.int8.onnx", backend, frames, at) for backend in ("native", "onnxruntime"))
    error = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(seen, wanted, strict=True))
    print(f"{cell} {options} bias {bias}: largest difference over largest value {error:.1e}, allowed 3e-4")
    assert error <= 3e-4
    whole = answers(tmp_path / "m.int8.onnx", "native", frames, [0, 200])
    np.testing.assert_array_equal(seen[0], whole[0])


def ops_of(path: Path) -> tuple[Op, ...]:
    from tidegate.runtime.graph.graph import Graph
    from tidegate.runtime.lowering.lower import lower

    return lower(Graph.load(path)).ops


def test_gru_keeps_the_biases_of_the_candidate_apart(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "m.onnx", "GRU", GRU, layers=1)
    quantize(source, tmp_path / "m.int8.onnx")
    gru = ops_of(tmp_path / "m.int8.onnx")[0]
    assert isinstance(gru, Gru)
    given = {t.name: numpy_helper.to_array(t) for t in onnx.load(source).graph.initializer}["B0"][0]
    w, r = np.split(given, 2)
    np.testing.assert_array_equal(gru.bias, np.concatenate([w[:40] + r[:40], w[40:]]))
    np.testing.assert_array_equal(gru.candidate_bias, r[40:])


@pytest.mark.parametrize(("activation", "reading"), [("Tanh", Reading.HIDDEN), ("Relu", Reading.FRAME)])
def test_rnn_reads_its_h_by_its_range(activation: str, reading: Reading, tmp_path: Path) -> None:
    """H of tanh lies in (-1, 1) and h of relu has no bound, both for its own R and for the next layer."""
    source = write_stack(tmp_path / "m.onnx", "RNN", {"activations": [activation]})
    quantize(source, tmp_path / "m.int8.onnx")
    first, second, _ = ops_of(tmp_path / "m.int8.onnx")
    assert isinstance(first, Rnn)
    assert isinstance(second, Rnn)
    assert first.function == second.function == activation.lower()
    assert [first.w.reading, first.r.reading] == [Reading.FRAME, reading]
    assert [second.w.reading, second.r.reading] == [reading, reading]


@pytest.mark.parametrize(
    ("cell", "options", "operands", "message"),
    [
        ("GRU", GRU, {4: "lengths"}, "it has sequence_lens"),
    ],
)
def test_options_that_the_engine_lacks_are_refused_by_node(
    cell: str, options: dict[str, Any], operands: dict[int, str], message: str, tmp_path: Path
) -> None:
    source = write_stack(tmp_path / "m.onnx", cell, options, layers=1, operands=operands)
    with pytest.raises(UnsupportedError, match=f"{cell} 'l0': .*{message}.*; use backend='onnxruntime'"):
        ops_of(source)


@pytest.mark.parametrize(("cell", "options"), [("GRU", GRU), ("RNN", {})])
def test_plan_and_onnx_file_are_inspected_alike(cell: str, options: dict[str, Any], tmp_path: Path) -> None:
    quantize(write_stack(tmp_path / "m.onnx", cell, options), tmp_path / "m.int8.onnx")
    models.compile_model(tmp_path / "m.int8.onnx", tmp_path / "m.tide")
    from_onnx, from_plan = (inspect_file(tmp_path / name).layers for name in ("m.int8.onnx", "m.tide"))
    assert [layer.name for layer in from_plan] == ["l0.h_in[0]", "l1.h_in[0]"]
    for a, b in zip(from_onnx, from_plan, strict=True):
        assert (a.cell, a.features, a.hidden, a.multiply_adds) == (b.cell, b.features, b.hidden, b.multiply_adds)
        assert a.activation_bits == b.activation_bits == (16, 16)
    rows = GATES[cell] * HIDDEN
    own = 4 * HIDDEN if cell == "GRU" else 0
    assert from_plan[0].bytes == rows * (FEATURES + HIDDEN) + 12 * rows + own


def test_states_come_by_name_from_mixed_cells(tmp_path: Path) -> None:
    """Cells with one and with two state vectors: each layer is named by its own h."""
    from tidegate.runtime.plan.writer import compile_program
    from tidegate.runtime.program import Program
    from tools.random_layers import gru, lstm, rnn
    from tools.streams import contract_of

    rng = np.random.default_rng(0)
    ops: tuple[Op, ...] = (
        gru(rng, 0, (3, 4), Reading.FRAME, 16),
        lstm(rng, 1, (4, 5), Reading.HIDDEN, 16),
        Linear((2,), rnn(rng, 2, (5, 6), Reading.HIDDEN, 16, function="tanh").w, np.zeros(6, np.float32)),
        rnn(rng, 3, (6, 7), Reading.FRAME, 16, function="relu"),
        Elementwise((4,), "mul", np.ones(7, np.float32)),
        Last((5,)),
    )
    program = Program(3, ops, (("y", 6),))
    (tmp_path / "m.tide").write_bytes(compile_program(program, contract_of(program)))
    layers = inspect_file(tmp_path / "m.tide").layers
    assert [(layer.name, layer.cell) for layer in layers] == [
        ("l0.h[0]", "GRU"),
        ("l1.h[0]", "LSTM"),
        ("l3.h[0]", "RNN"),
    ]
    stream = models.load(tmp_path / "m.tide").stream()
    stream.push(np.ones((2, 3), np.float32))
    assert {name: values.shape[-1] for name, values in stream.state().items()} == {
        "l0.h": 4,
        "l1.h": 5,
        "l1.c": 5,
        "l3.h": 7,
    }
