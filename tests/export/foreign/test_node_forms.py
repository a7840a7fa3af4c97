"""Layout 1 becomes layout 0, lengths of whole signals are dropped: the answers stay. Other lengths are refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from tidegate.export import lift
from tidegate.export.foreign.node_forms import drop_lengths, forbid_empty, put_time_first
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.nodes import attributes
from tidegate.runtime.load import load
from tools.graphs import floats, model_of, run

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
HIDDEN, FEATURES = 4, 3


def _model(op: str, signal: Sequence[int | str], lengths: object = None, **options: Any) -> onnx.ModelProto:  # noqa: ANN401
    """Return a node with weights and initial states over x; `lengths` are its sequence_lens."""
    rows, batch = GATES[op] * HIDDEN, signal[0] if options.get("layout") else signal[1]
    tensors = {"w": floats(1, rows, FEATURES), "r": floats(1, rows, HIDDEN, seed=1), "b": floats(1, 2 * rows, seed=2)}
    shape = (batch, 1, HIDDEN) if options.get("layout") else (1, batch, HIDDEN)
    states = ["h0", "c0"][: 2 if op == "LSTM" else 1] if isinstance(batch, int) else []
    tensors |= {name: floats(*shape, seed=3 + i) for i, name in enumerate(states)}
    if lengths is not None:
        tensors["lengths"] = np.array(lengths, np.int32)
    outputs = ["y", "hn", "cn"][: 3 if op == "LSTM" else 2]
    inputs = ["x", "w", "r", "b", "lengths" if lengths is not None else "", *states]
    node = helper.make_node(op, inputs, outputs, op, hidden_size=HIDDEN, **options)
    return model_of([node], {"x": [*signal, FEATURES]}, outputs, tensors)


@pytest.mark.parametrize("op", GATES)
def test_a_node_with_the_batch_first_gives_the_same_answers_with_time_first(op: str) -> None:
    options = {"linear_before_reset": 1} if op == "GRU" else {}
    model = _model(op, [2, 5], layout=1, **options)
    x = floats(2, 5, FEATURES, seed=9)
    names = [output.name for output in model.graph.output]
    wanted = dict(zip(names, ReferenceEvaluator(model).run(names, {"x": x}), strict=True))
    assert put_time_first(model) == [op]
    assert [attributes(node).get("layout") for node in model.graph.node if node.op_type == op] == [None]
    for name, values in run(model, {"x": x}).items():
        assert values.shape == (2, 5, 1, HIDDEN) if name == "y" else (2, 1, HIDDEN)
        np.testing.assert_allclose(values, wanted[name].reshape(values.shape), atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("target", "kept"), [([2, 6], False), ([-1, 3], False), ([2, 0, 3], True)])
def test_a_reshape_to_sizes_above_zero_needs_no_allowzero(target: list[int], *, kept: bool) -> None:
    node = helper.make_node("Reshape", ["x", "target"], ["y"], allowzero=1)
    model = model_of([node], {"x": [2, 2, 3]}, ["y"], {"target": np.array(target)})
    forbid_empty(model)
    assert attributes(model.graph.node[0]).get("allowzero") == (1 if kept else None)


def test_a_node_with_time_first_stays() -> None:
    model = _model("LSTM", [5, 2])
    before = model.SerializeToString()
    assert put_time_first(model) == []
    assert model.SerializeToString() == before


@pytest.mark.parametrize("op", GATES)
def test_lengths_of_the_whole_signal_are_dropped(op: str) -> None:
    model = _model(op, [5, 2], [5, 5])
    wanted = run(model, {"x": floats(5, 2, FEATURES)})
    assert drop_lengths(model, "x") == ["lengths"]
    for name, values in run(model, {"x": floats(5, 2, FEATURES)}).items():
        np.testing.assert_array_equal(values, wanted[name])


def test_lengths_that_are_computed_from_the_signal_are_dropped() -> None:
    model = _model("GRU", ["time", "batch"], 0)
    parts = [
        helper.make_node("Shape", ["x"], ["frames"], start=0, end=1),
        helper.make_node("Shape", ["x"], ["streams"], start=1, end=2),
        helper.make_node("Expand", ["frames", "streams"], ["wide"]),
        helper.make_node("Cast", ["wide"], ["lens"], to=onnx.TensorProto.INT32),
    ]
    gru = model.graph.node[0]
    gru.input[4] = "lens"
    nodes = [*parts, gru]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert drop_lengths(model, "x") == ["lens"]


@pytest.mark.parametrize(("signal", "lengths"), [([5, 2], [5, 4]), ([5, 2], [4, 4]), (["time", 2], [5, 5])])
def test_other_lengths_are_refused_by_their_name(tmp_path: Path, signal: list[int | str], lengths: list[int]) -> None:
    model = _model("GRU", signal, lengths, linear_before_reset=1)
    assert drop_lengths(model, "x") == []
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match=r"GRU 'GRU': sequence_lens = 'lengths', wanted none; pack whole"):
        lift(tmp_path / "m.onnx", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("op", GATES)
def test_a_node_of_fixed_sizes_streams_by_itself(tmp_path: Path, op: str, layout: int) -> None:
    """All that ONNX's node tests have: fixed frames, several streams, lengths, a layout, Y and Y_h as answers."""
    options = {"linear_before_reset": 1} if op == "GRU" else {}
    sizes = [3, 2] if layout else [2, 3]  # 2 frames of 3 streams
    model = _model(op, sizes, [2, 2, 2], layout=layout, **options)
    for name in ("h0", "c0"):  # one start for all streams
        for tensor in model.graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(tensor) + 0.25, name))
    onnx.save(model, tmp_path / "m.onnx")
    report = lift(tmp_path / "m.onnx", tmp_path / "out.onnx")
    assert any("length 27" in check.name for check in report.checks)
    assert any(note.startswith("The lengths of sequences lengths are those of the whole") for note in report.done)
    x = floats(*sizes, FEATURES, seed=9)
    names = [output.name for output in model.graph.output]
    wanted = dict(zip(names, ReferenceEvaluator(model).run(names, {"x": x}), strict=True))
    for backend in ("native", "onnxruntime"):
        for row in range(3):
            stream = load(tmp_path / "out.onnx", backend).stream()
            pushed = [stream.push(np.take(x, row, 1 - layout)[at : at + 1]) for at in (0, 1)]
            seen = [answer for answer in pushed if isinstance(answer, dict)]
            y = np.concatenate([answer["y"] for answer in seen])
            own = wanted["y"][row] if layout else wanted["y"][:, :, row]
            np.testing.assert_allclose(y, own.reshape(y.shape), atol=2e-6)
            assert y.shape == (2, 1, HIDDEN)
            for name in names[1:]:
                last = np.take(wanted[name], row, 0 if layout else 1)
                np.testing.assert_allclose(seen[-1][name], last, atol=2e-6)
