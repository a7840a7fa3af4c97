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
from tidegate.export.states.caches import find_caches
from tidegate.export.states.recurrent_states import ForeignState, drop_repeats, lift_states, repeated_states, unplug
from tidegate.export.states.routes import number_inputs, still
from tidegate.runtime.cells import CELLS
from tidegate.runtime.contract import State
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tools.graphs import floats, model_of

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


# ---- states that a file already has ----


def _foreign(model: onnx.ModelProto, names: Sequence[str]) -> list[ForeignState]:
    """Lift a graph, and return its states as those of a file of another tool."""
    slots = CELLS["LSTM"].states
    return [
        ForeignState(state, tuple((name, slot) for name in names), state.shape)
        for state, slot in zip(lift_states(model), slots, strict=True)
    ]


@pytest.mark.parametrize("names", [["/lstm/LSTM"], ["/lstm/LSTM", "/lstm/LSTM_1"]])
def test_states_are_taken_out_and_come_back_under_their_names(make_graph: MakeGraph, names: list[str]) -> None:
    model = make_graph(names)
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    whole = _run(model, {"x": x})["y"]
    foreign = _foreign(model, names)
    unplug(model, foreign)
    assert (_names(model.graph.input), _names(model.graph.output)) == (["x"], ["y"])
    np.testing.assert_array_equal(_run(model, {"x": x})["y"], whole)
    assert lift_states(model, foreign=foreign) == tuple(known.state for known in foreign)
    assert _names(model.graph.output) == ["y", "lstm.h_out", "lstm.c_out"]
    onnx.checker.check_model(model, full_check=True)


def test_only_the_state_that_a_file_lacks_is_lifted(make_graph: MakeGraph) -> None:
    """The file has h of the first layer; the states of its own come first."""
    names = ["/lstm/LSTM", "/lstm/LSTM_1"]
    model = make_graph(names)
    h = CELLS["LSTM"].states[0]
    known = ForeignState(State("mine_in", "mine_out", "h", (1, "batch", 4)), ((names[0], h),), (1, None, 4))
    states = lift_states(model, foreign=[known])
    assert [(state.input, state.shape) for state in states] == [
        ("mine_in", (1, "batch", 4)),
        ("lstm.h_in", (1, "batch", 4)),
        ("lstm.c_in", (2, "batch", 4)),
    ]
    onnx.checker.check_model(model, full_check=True)
    both = ForeignState(State("mine_in", "mine_out", "h", (2, "batch", 4)), tuple((n, h) for n in names), (2, None, 4))
    assert [state.input for state in lift_states(make_graph(names), foreign=[both])] == ["mine_in", "lstm.c_in"]


def test_a_node_that_reads_a_state_in_another_way_is_refused(make_graph: MakeGraph) -> None:
    model = make_graph()
    foreign = _foreign(model, ["/lstm/LSTM"])
    model.graph.node.append(helper.make_node("Relu", ["lstm.c_in"], ["z"], name="reader"))
    model.graph.output.append(helper.make_tensor_value_info("z", 1, None))
    with pytest.raises(UnsupportedError) as caught:
        unplug(model, foreign)
    assert str(caught.value) == (
        "Relu 'reader': it reads state input 'lstm.c_in', which layers or convolutions carry on, wanted no other "
        "reader; write the model without this reader of the state, or with a layer in its place"
    )


def test_an_output_that_repeats_a_state_outlives_it(make_graph: MakeGraph) -> None:
    """It is read from what the layer gives now, and its name is free for the state."""
    model = make_graph()
    foreign = _foreign(model, ["/lstm/LSTM"])
    model.graph.node.append(helper.make_node("Relu", ["lstm.h_out"], ["z"]))
    model.graph.output.append(helper.make_tensor_value_info("z", 1, None))
    unplug(model, foreign)
    assert _names(model.graph.output) == ["y", "z"]
    lift_states(model, foreign=foreign)
    assert _names(model.graph.output) == ["y", "z", "lstm.h_out", "lstm.c_out"]


def test_a_cache_is_taken_out_and_zeros_come_before_the_signal() -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["signal"]),
        helper.make_node("Concat", ["cache", "signal"], ["joined"], axis=2),
        helper.make_node("Conv", ["joined", "w"], ["y"]),
        helper.make_node("Slice", ["joined", "one", "end", "time"], ["next"]),
    ]
    tensors = {"w": floats(3, 2, 3), "one": np.array([1]), "end": np.array([2**31]), "time": np.array([2])}
    model = model_of(nodes, {"x": [1, 2, 1], "cache": [1, 2, 2]}, ["y", "next"], tensors)
    one, shapes = still(model)
    caches = tuple(find_caches(one, number_inputs(one), shapes))
    x = np.ones((1, 2, 1), np.float32)
    wanted = _run(model, {"x": x, "cache": np.zeros((1, 2, 2), np.float32)})["y"]
    state = State("cache", "next", "tail", (1, 2, 2))
    unplug(model, [ForeignState(state, (), (1, 2, 2), caches=caches)])
    assert (_names(model.graph.input), _names(model.graph.output)) == (["x"], ["y"])
    np.testing.assert_array_equal(_run(model, {"x": x})["y"], wanted)


# ---- outputs that repeat states ----


def _with_outputs(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> onnx.ModelProto:
    """Add nodes whose results are outputs."""
    model.graph.node.extend(nodes)
    model.graph.output.extend(helper.make_tensor_value_info(node.output[0], 1, None) for node in nodes)
    return model


@pytest.mark.parametrize(
    ("batch", "handed_out", "found"),
    [("batch", False, ["a"]), ("batch", True, ["a", "b"]), (1, False, ["a", "b"]), (1, True, ["a", "b"])],
)
def test_an_axis_is_dropped_only_where_there_is_no_batch_or_cells_hand_states_out(
    make_graph: MakeGraph, batch: int | str, handed_out: bool, found: list[str]
) -> None:
    model = make_graph()
    states = lift_states(model, batch=batch)
    nodes = [helper.make_node(op, ["lstm.h_out"], [name]) for op, name in (("Identity", "a"), ("Squeeze", "b"))]
    _with_outputs(model, *nodes, helper.make_node("Relu", ["lstm.h_out"], ["c"]))
    assert repeated_states(model, states, handed_out=handed_out) == dict.fromkeys(found, "lstm.h_out")


def test_layers_stacked_in_the_order_of_a_state_repeat_it(make_graph: MakeGraph) -> None:
    names = ["/lstm/LSTM", "/lstm/LSTM_1"]
    model = make_graph(names)
    states = lift_states(model)
    concat = next(node for node in model.graph.node if list(node.output) == ["lstm.h_out"])
    _with_outputs(
        model,
        helper.make_node("Concat", concat.input, ["same"], axis=0),
        helper.make_node("Concat", [*concat.input][::-1], ["turned"], axis=0),
        helper.make_node("Concat", concat.input, ["beside"], axis=2),
    )
    _with_outputs(model, helper.make_node("Identity", ["same"], ["again"]))
    assert repeated_states(model, states) == {"same": "lstm.h_out", "again": "lstm.h_out"}
    assert drop_repeats(model, states) == {"same": "lstm.h_out", "again": "lstm.h_out"}
    assert _names(model.graph.output) == ["y", "lstm.h_out", "lstm.c_out", "turned", "beside"]


def test_repeats_stay_where_there_is_no_other_output(make_graph: MakeGraph) -> None:
    model = make_graph()
    states = lift_states(model)
    del model.graph.output[0]
    _with_outputs(model, helper.make_node("Identity", ["lstm.h_out"], ["a"]))
    assert drop_repeats(model, states) == {}
    assert _names(model.graph.output) == ["lstm.h_out", "lstm.c_out", "a"]


def test_lifted_states_are_at_their_places(make_graph: MakeGraph) -> None:
    model = make_graph(("/lstm/LSTM", "/lstm/LSTM_1"))
    lift_states(model)
    assert [shape_of(item) for item in model.graph.input[1:]] == [(2, "batch", 4)] * 2
    assert [shape_of(item) for item in model.graph.output[1:]] == [(2, "batch", 4)] * 2
    names = {node.name for node in model.graph.node}
    assert {"lstm.h_in/Split", "lstm.c_in/Split", "lstm.h_out/Concat", "lstm.c_out/Concat"} <= names
    assert [model.graph.node[at].op_type for at in (0, 1, -2, -1)] == ["Split", "Split", "Concat", "Concat"]
    sizes = Graph(model).constant("lstm.h_in.sizes")
    assert sizes is not None
    np.testing.assert_array_equal(sizes, np.ones(2, np.int64), strict=True)


def test_the_oldest_operator_set_that_splits_by_an_input_is_lifted(make_graph: MakeGraph) -> None:
    assert len(lift_states(make_graph(opset=13))) == 2
    assert len(lift_states(make_graph(opset=14))) == 2


def test_a_taken_name_of_an_input_is_refused_by_its_node(make_graph: MakeGraph) -> None:
    model = make_graph()
    model.graph.node.append(helper.make_node("Identity", ["x"], ["lstm.h_in"]))
    with pytest.raises(UnsupportedError) as caught:
        lift_states(model)
    assert str(caught.value) == "LSTM '/lstm/LSTM': the graph already has a value 'lstm.h_in'; rename it"
