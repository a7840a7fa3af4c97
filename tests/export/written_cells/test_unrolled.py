"""Loops that tracing unrolled, in graphs made by hand."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.export.written_cells.unrolled import carried, common_values, counterparts, find_loops
from tidegate.runtime.graph.graph import Graph
from tools.graphs import floats, model_of

STEPS = 5


def rnn(name: str = "h", weights: str = "r", x: str = "x", start: str = "zero") -> list[onnx.NodeProto]:
    """Return h_t = tanh(r h_t-1 + w x_t)."""
    nodes, state = [], start
    for i in range(STEPS):
        made = {key: f"{name}_{key}{i}" for key in ("ours", "theirs", "sum")}
        nodes += [
            helper.make_node("MatMul", [f"{x}{i}", "w"], [made["ours"]]),
            helper.make_node("MatMul", [state, weights], [made["theirs"]]),
            helper.make_node("Add", [made["ours"], made["theirs"]], [made["sum"]]),
            helper.make_node("Tanh", [made["sum"]], [f"{name}{i}"]),
        ]
        state = f"{name}{i}"
    return nodes


def graph_of(nodes: Sequence[onnx.NodeProto]) -> Graph:
    inputs = dict.fromkeys(("zero", *(f"x{i}" for i in range(STEPS))), (1, 4))
    return Graph(
        model_of(nodes, inputs, ["h4"], {"w": floats(4, 4), "r": floats(4, 4, seed=1), "q": floats(4, 4, seed=2)})
    )


def test_a_loop_is_found_by_products_that_depend_on_each_other() -> None:
    (loop,) = find_loops(graph_of(rnn()))
    assert loop.steps == STEPS
    assert [loop.levels[f"h{i}"] for i in range(STEPS)] == list(range(STEPS))
    assert "h_ours0" not in loop.levels


def test_weights_are_the_same_by_their_values() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(graph_of(rnn()).model)
    for i, node in enumerate(node for node in model.graph.node if node.input[-1] == "r"):
        node.input[1] = f"r{i}"
        model.graph.initializer.append(onnx.numpy_helper.from_array(floats(4, 4, seed=1), f"r{i}"))
    assert len(find_loops(Graph(model))) == 1


def test_what_is_carried_is_read_by_the_next_step() -> None:
    graph = graph_of([*rnn(), helper.make_node("Concat", [f"h{i}" for i in range(STEPS)], ["all"], axis=0)])
    (loop,) = find_loops(graph)
    assert carried(graph, loop, 0) == ["h0"]


def test_values_that_all_steps_share_are_common() -> None:
    frames = [helper.make_node("Gather", ["x", f"i{i}"], [f"x{i}"], axis=0) for i in range(STEPS)]
    model = model_of([*frames, *rnn()], {"x": (STEPS, 1, 4), "zero": (1, 4)}, ["h4"])
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.array(i), f"i{i}") for i in range(STEPS))
    model.graph.initializer.extend(graph_of(rnn()).model.graph.initializer)
    (loop,) = find_loops(Graph(model))
    assert common_values(Graph(model), loop) == {"x", "w", "r"}


def test_a_value_that_follows_from_carried_ones_is_not_carried() -> None:
    nodes, leaky = [], "zero"
    for i in range(STEPS):
        nodes += [
            helper.make_node("MatMul", [leaky, "r"], [f"p{i}"]),
            helper.make_node("Mul", [leaky, "w"], [f"kept{i}"]),
            helper.make_node("Add", [f"p{i}", f"kept{i}"], [f"h{i}"]),
        ]
        leaky = f"h{i}"
    graph = graph_of(nodes)
    (loop,) = find_loops(graph)
    assert carried(graph, loop, 0) == ["h0"]


def test_two_cells_in_one_loop_are_one_loop_and_two_loops_are_two() -> None:
    inner = [node for pair in zip(*[iter(rnn())] * 4, *[iter(rnn("g", "q", "h"))] * 4, strict=True) for node in pair]
    assert [loop.steps for loop in find_loops(graph_of(inner))] == [STEPS]
    joined = helper.make_node("Concat", [f"h{i}" for i in range(STEPS)], ["all"], axis=0)
    cut = [helper.make_node("Gather", ["all", "i"], [f"y{i}"]) for i in range(STEPS)]
    graph = graph_of([*rnn(), joined, *cut, *rnn("g", "q", "y")])
    graph.model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "i"))
    assert [loop.steps for loop in find_loops(Graph(graph.model))] == [STEPS, STEPS]


def test_products_that_do_not_depend_on_each_other_are_no_loop() -> None:
    nodes = [helper.make_node("MatMul", [f"x{i}", "w"], [f"h{i}"]) for i in range(STEPS)]
    assert find_loops(graph_of(nodes)) == []


def test_counterparts_of_another_step() -> None:
    graph = graph_of(rnn())
    found = counterparts(graph, "h1", "h3", {"h0": "h2"}, {"x1", "h0"})
    assert found is not None
    assert (found["x1"], found["h_sum1"]) == ("x3", "h_sum3")


@pytest.mark.parametrize(("other", "known"), [("h3", {"h0": "h1"}), ("h_sum3", {}), ("x3", {})])
def test_values_made_differently_are_no_counterparts(other: str, known: dict[str, str]) -> None:
    assert counterparts(graph_of(rnn()), "h1", other, known, {"x1", "h0"}) is None
