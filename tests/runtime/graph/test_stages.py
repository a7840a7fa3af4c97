"""Stages: which nodes run together, what they read and give, and which graphs have none."""

import pytest
from onnx import NodeProto, helper
from tidegate.runtime.clocks import Clock
from tidegate.runtime.contract import METADATA_KEY, Ahead, Blocks, Contract, Port, State
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.graph.stages import clocks_of, layer_states_of, lookaheads, looking_ahead, stage_model, stages_of
from tools.graphs import model_of

AHEAD = (Ahead("conv", 2),)
CONTRACT = Contract((Port("x", 2, 0),), (Port("y", 2, 0),), (), 2, ahead=AHEAD)


def made(*nodes: NodeProto, contract: Contract = CONTRACT, **tensors: object) -> Graph:
    graph = Graph(model_of(nodes, {"x": ["batch", 1, "time"]}, ["y"], {"w": [[[1.0] * 5]], **tensors}))
    graph.set_metadata(METADATA_KEY, contract.to_json())
    return graph


RELU = helper.make_node("Relu", ["x"], ["a"])
CONV = helper.make_node("Conv", ["a", "w"], ["b"], name="conv", pads=[2, 2], kernel_shape=[5])
BACK = helper.make_node("LSTM", ["a", "w", "w"], ["b2"], name="back", direction="reverse", hidden_size=1)
SUM = helper.make_node("Add", ["a", "b"], ["y"])


def test_each_value_has_the_clock_of_the_latest_that_it_reads() -> None:
    clocks = clocks_of(made(RELU, CONV, SUM), lookaheads(CONTRACT), "x")
    assert {name: clock.lag(None) for name, clock in clocks.items()} == {"x": 0, "a": 0, "b": 2, "y": 2}


def test_a_backward_node_answers_in_blocks() -> None:
    assert clocks_of(made(RELU, BACK), {}, "x")["b2"] == Clock().in_blocks()


def test_values_that_cannot_wait_for_each_other_are_refused() -> None:
    both = helper.make_node("Add", ["b", "b2"], ["y"], name="both")
    with pytest.raises(UnsupportedError, match="Add 'both': it joins two values that look ahead, and neither can wait"):
        clocks_of(made(RELU, CONV, BACK, both), {"conv": 2}, "x")


def test_a_contract_gets_the_lookahead_of_its_graph() -> None:
    plain = Contract((Port("x", 2, 0),), (Port("y", 2, 0),), ())
    graph = made(RELU, CONV, SUM, contract=plain)
    found = looking_ahead(graph.model, plain, None, AHEAD)
    assert (found.lookahead, found.blocks, found.ahead) == (2, None, AHEAD)
    back = made(RELU, BACK, helper.make_node("Relu", ["b2"], ["y"]), contract=plain)
    assert looking_ahead(back.model, plain, Blocks(4, 3), ()).lookahead == 6
    assert looking_ahead(back.model, plain, Blocks(None, 0, 9), ()).lookahead is None


def test_a_late_node_is_a_stage_between_the_others() -> None:
    graph = made(RELU, CONV, SUM)
    stages = stages_of(graph, CONTRACT, clocks_of(graph, lookaheads(CONTRACT), "x"), (), ())
    assert [[node.op_type for node in stage.nodes] for stage in stages] == [["Relu"], ["Conv"], ["Add"]]
    assert [(stage.reads, stage.gives) for stage in stages] == [(["x"], ["a"]), (["a"], ["b"]), (["a", "b"], ["y"])]
    assert [stage.ahead for stage in stages] == [0, 2, 0]


def test_the_convolution_of_a_stage_gets_its_frames_instead_of_padding() -> None:
    graph = made(RELU, CONV, SUM)
    stage = stages_of(graph, CONTRACT, clocks_of(graph, lookaheads(CONTRACT), "x"), (), ())[1]
    model = stage_model(graph.model, stage, (), 0)
    assert [item.name for item in (*model.graph.input, *model.graph.output)] == ["a", "b"]
    assert next(a for a in model.graph.node[0].attribute if a.name == "pads").ints == [0, 0]
    assert next(a for a in graph.producer("b").attribute if a.name == "pads").ints == [2, 2]  # type: ignore[union-attr]


def test_a_state_that_is_split_and_joined_has_one_entry_per_layer() -> None:
    states = State("h", "h.out", "h", (2, "batch", 1)), State("c", "c.out", "c", (1, "batch", 1))
    contract = Contract((Port("x", 2, 0),), (Port("y", 2, 0),), states)
    split = helper.make_node("Split", ["h"], ["h0", "h1"], num_outputs=2)
    join = helper.make_node("Concat", ["n0", "n1"], ["h.out"], axis=0)
    found = layer_states_of(made(RELU, split, join, contract=contract), contract)
    assert [(one.input, one.layer, one.source, one.target) for one in found] == [
        ("h", 0, "h0", "n0"),
        ("h", 1, "h1", "n1"),
        ("c", None, "c", "c.out"),
    ]
