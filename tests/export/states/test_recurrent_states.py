"""Lifting of graphs made by hand: names, connections, and zeros that the exporter shares between layers."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from tidegate.export.graph.axes import shape_of
from tidegate.export.graph.folds import Folds
from tidegate.export.states.recurrent_states import lift_states, repeated_states
from tidegate.runtime.contract import State
from tidegate.runtime.errors import UnsupportedError

MakeGraph = Callable[..., onnx.ModelProto]
Feeds = dict[str, npt.NDArray[np.float32]]


def _names(items: Sequence[onnx.ValueInfoProto]) -> list[str]:
    return [item.name for item in items]


def _run(model: onnx.ModelProto, feeds: Feeds) -> Feeds:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def test_one_layer_is_connected_directly(make_graph: MakeGraph) -> None:
    model = make_graph()
    states = lift_states(model)
    assert states == (
        State("lstm.h_in", "lstm.h_out", "h", (1, "batch", 4)),
        State("lstm.c_in", "lstm.c_out", "c", (1, "batch", 4)),
    )
    assert _names(model.graph.input) == ["x", "lstm.h_in", "lstm.c_in"]
    assert _names(model.graph.output) == ["y", "lstm.h_out", "lstm.c_out"]
    assert [node.op_type for node in model.graph.node] == ["LSTM", "Squeeze"]
    onnx.checker.check_model(model, full_check=True)


def test_stacked_layers_share_one_tensor_per_state(make_graph: MakeGraph) -> None:
    model = make_graph(("/encoder/lstm/LSTM", "/encoder/lstm/LSTM_1", "/encoder/lstm/LSTM_2"))
    states = lift_states(model)
    assert [(state.input, state.shape) for state in states] == [
        ("encoder.lstm.h_in", (3, "batch", 4)),
        ("encoder.lstm.c_in", (3, "batch", 4)),
    ]
    kinds = [node.op_type for node in model.graph.node]
    assert (kinds.count("Split"), kinds.count("Concat"), kinds.count("LSTM")) == (2, 2, 3)
    reads = [name for node in model.graph.node if node.op_type == "LSTM" for name in node.input[5:7]]
    assert len(set(reads)) == 6, "h and c of each layer are separate, though the exporter shares one zero tensor"
    onnx.checker.check_model(model, full_check=True)


def test_layers_keep_their_order_in_the_state(make_graph: MakeGraph) -> None:
    model = make_graph(("/lstm/LSTM", "/lstm/LSTM_1"))
    layers = [node for node in model.graph.node if node.op_type == "LSTM"]
    lift_states(model)
    split = next(node for node in model.graph.node if node.input[0] == "lstm.c_in")
    concat = next(node for node in model.graph.node if list(node.output) == ["lstm.c_out"])
    assert [layer.input[6] for layer in layers] == list(split.output)
    assert [layer.output[2] for layer in layers] == list(concat.input)


def test_modules_at_different_depths_get_their_own_states(make_graph: MakeGraph) -> None:
    model = make_graph(("/encoder/lstm/LSTM", "/head/LSTM"), hidden=[4, 4])
    names = [state.input for state in lift_states(model)]
    assert names == ["encoder.lstm.h_in", "encoder.lstm.c_in", "head.h_in", "head.c_in"]


def test_nodes_without_a_module_are_named_after_their_operator(make_graph: MakeGraph) -> None:
    assert [state.input for state in lift_states(make_graph(("/LSTM",)))] == ["lstm.h_in", "lstm.c_in"]


def test_unlike_layers_of_one_name_are_kept_apart(make_graph: MakeGraph) -> None:
    model = make_graph(("LSTM_0", "LSTM_1"), hidden=[4, 6])
    model.graph.node[-2].input[5] = model.graph.node[-2].input[6] = ""  # an absent input means zeros too
    assert [(s.input, s.shape[2]) for s in lift_states(model)][::2] == [("lstm.h_in", 4), ("lstm_1.h_in", 6)]


def test_known_module_paths_complete_a_name(make_graph: MakeGraph) -> None:
    states = lift_states(make_graph(("/lstm/LSTM",)), modules=["model.lstm", "model.gru"])
    assert states[0].input == "model.lstm.h_in"


@pytest.mark.parametrize("modules", [["lstm", "model.lstm"], ["a.lstm", "b.lstm"]])
def test_a_name_that_two_modules_could_bear_stays(make_graph: MakeGraph, modules: list[str]) -> None:
    assert lift_states(make_graph(("/lstm/LSTM",)), modules=modules)[0].input == "lstm.h_in"


def test_a_fixed_batch_is_in_the_shape(make_graph: MakeGraph) -> None:
    model = make_graph()
    assert lift_states(model, batch=1)[0].shape == (1, 1, 4)
    assert shape_of(model.graph.input[1]) == (1, 1, 4)


def test_dead_makers_of_zeros_are_removed(make_graph: MakeGraph) -> None:
    model = make_graph()
    assert any(node.op_type == "ConstantOfShape" for node in model.graph.node)
    lift_states(model)
    assert not {"ConstantOfShape", "Shape", "Constant"} & {node.op_type for node in model.graph.node}


def test_final_states_that_no_node_reads_are_added(make_graph: MakeGraph) -> None:
    model = make_graph()
    node = next(node for node in model.graph.node if node.op_type == "LSTM")
    del node.output[1:]
    lift_states(model)
    assert list(node.output) == ["Y0", "lstm.h_out", "lstm.c_out"]


def test_a_final_state_that_was_an_output_keeps_its_name_too(make_graph: MakeGraph) -> None:
    model = make_graph()
    model.graph.output.append(helper.make_tensor_value_info("Yh0", 1, None))
    states = lift_states(model)
    assert _names(model.graph.output) == ["y", "Yh0", "lstm.h_out", "lstm.c_out"]
    assert repeated_states(model, states) == {"Yh0": "lstm.h_out"}


def test_an_old_operator_set_is_refused(make_graph: MakeGraph) -> None:
    with pytest.raises(UnsupportedError, match=r"opset 12, wanted at least 13; use onnx.version_converter"):
        lift_states(make_graph(opset=12))


def test_a_name_already_taken_is_refused(make_graph: MakeGraph) -> None:
    model = make_graph()
    model.graph.node.append(helper.make_node("Identity", ["x"], ["lstm.c_out"]))
    with pytest.raises(UnsupportedError, match=r"already has a value 'lstm.c_out'; rename it"):
        lift_states(model)
    model = make_graph()
    model.graph.node.append(helper.make_node("Identity", ["x"], ["own.c_out"]))
    assert len(lift_states(model)) == 2


@given(
    layers=st.integers(1, 3),
    hidden=st.integers(1, 6),
    batch=st.integers(1, 3),
    chunks=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_a_lifted_graph_in_chunks_equals_the_original_whole(
    make_graph: MakeGraph, *, layers: int, hidden: int, batch: int, chunks: list[int], seed: int
) -> None:
    names = [f"/lstm/LSTM_{i}" for i in range(layers)]
    model = make_graph(names, hidden=[hidden] * layers)
    x = np.random.default_rng(seed).standard_normal((sum(chunks), batch, 3)).astype(np.float32)
    whole = _run(model, {"x": x})["y"]
    states = lift_states(model)
    carried: Feeds = {s.input: np.zeros(s.concrete_shape(batch), np.float32) for s in states}
    pieces = []
    for chunk in np.split(x, np.cumsum(chunks)[:-1]):
        answer = _run(model, {"x": chunk, **carried})
        carried = {s.input: answer[s.output] for s in states}
        pieces.append(answer["y"])
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=0, atol=1e-6)


def test_several_rows_of_several_streams_are_folded_into_the_batch_and_back(make_graph: MakeGraph) -> None:
    """Two streams of 3 rows are 6 in the batch of the layers; a state has its streams and rows apart."""
    names = ["/lstm/LSTM_0", "/lstm/LSTM_1"]
    model = make_graph(names)
    x = np.random.default_rng(0).standard_normal((7, 6, 3)).astype(np.float32)
    whole = _run(model, {"x": x})["y"]

    states = lift_states(model, folds=Folds(dict.fromkeys(names, ("batch", 3))))

    assert [state.shape for state in states] == [(2, "batch", 3, 4)] * 2
    carried: Feeds = {s.input: np.zeros(s.concrete_shape(2), np.float32) for s in states}
    first = _run(model, {"x": x[:4], **carried})
    assert {first[s.output].shape for s in states} == {(2, 2, 3, 4)}
    second = _run(model, {"x": x[4:], **{s.input: first[s.output] for s in states}})
    np.testing.assert_allclose(np.concatenate([first["y"], second["y"]]), whole, rtol=0, atol=1e-6)
