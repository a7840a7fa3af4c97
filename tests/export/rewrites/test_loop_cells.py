"""Cells in a loop over time: their calls are found, and a loop that is not one recurrence is refused."""

from collections.abc import Sequence

import onnx
import pytest
from onnx import helper
from tidegate.export.graph.markers import DOMAIN
from tidegate.export.rewrites.loop_cells import check_chain, find_chains, joins_steps, nearest_steps
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tools.graphs import floats, model_of

STEPS = 3
WEIGHTS = {"w": floats(12, 2), "r": floats(12, 4), "w2": floats(12, 4), "r2": floats(12, 4)}


def _cell(i: int, x: str, state: str, weights: Sequence[str] = ("w", "r"), made: str = "h") -> onnx.NodeProto:
    return helper.make_node("GRUCell", [x, state, *weights], [f"{made}{i}"], f"/{made}/GRUCell_{i}", domain=DOMAIN)


def _graph(nodes: Sequence[onnx.NodeProto]) -> Graph:
    inputs = {f"x{i}": [1, 2] for i in range(STEPS)} | {"start": [1, 4], "h_": [1, 4]}
    return Graph(model_of(nodes, inputs, ["out"], WEIGHTS, domains=[DOMAIN]))


def _states() -> list[str]:
    return ["start", *(f"h{i}" for i in range(STEPS - 1))]


def _loop() -> list[onnx.NodeProto]:
    return [_cell(i, f"x{i}", state) for i, state in enumerate(_states())]


def test_calls_with_the_same_weights_are_one_chain() -> None:
    nodes = [node for i, first in enumerate(_loop()) for node in (first, _cell(i, f"h{i}", "start", ("w2", "r2"), "g"))]
    first, second = find_chains(_graph(nodes))
    assert [step.name for step in first.steps] == ["/h/GRUCell_0", "/h/GRUCell_1", "/h/GRUCell_2"]
    assert [step.name for step in second.steps] == ["/g/GRUCell_0", "/g/GRUCell_1", "/g/GRUCell_2"]
    assert (first.operator, first.states, first.weights) == ("GRU", 1, ["w", "r"])


@pytest.mark.parametrize(("kind", "operator", "states"), [("LSTM", "LSTM", 2), ("Tanh", "RNN", 1), ("Relu", "RNN", 1)])
def test_each_kind_of_cell_has_its_operator_and_states(kind: str, operator: str, states: int) -> None:
    reads = ["x0", *["start"] * states, "w", "r"]
    (chain,) = find_chains(_graph([helper.make_node(f"{kind}Cell", reads, ["out"], domain=DOMAIN)]))
    assert (chain.operator, chain.states, chain.weights) == (operator, states, ["w", "r"])


def test_values_belong_to_the_nearest_step_until_a_stack_joins_them() -> None:
    heads = [helper.make_node("Relu", [f"h{i}"], [f"a{i}"]) for i in range(STEPS)]
    stack = helper.make_node("Concat", [f"a{i}" for i in range(STEPS)], ["stack"], axis=0)
    turned = helper.make_node("Concat", [f"a{i}" for i in reversed(range(STEPS))], ["out"], axis=0)
    graph = _graph([*_loop(), *heads, stack, turned])
    chains = find_chains(graph)
    near = nearest_steps(graph, chains)
    assert [near[f"a{i}"] for i in range(STEPS)] == [{i} for i in range(STEPS)]
    assert near["stack"] == frozenset()
    assert joins_steps(stack, near, chains)
    assert not joins_steps(turned, near, chains)


def test_a_state_may_pass_through_axes_of_size_1() -> None:
    nodes = _loop()
    nodes.insert(1, helper.make_node("Unsqueeze", ["h0", "axes"], ["wide"]))
    nodes.insert(2, helper.make_node("Squeeze", ["wide", "axes"], ["narrow"]))
    nodes[3].input[1] = "narrow"
    graph = _graph(nodes)
    (chain,) = find_chains(graph)
    check_chain(graph, chain, nearest_steps(graph, [chain]))


def test_a_state_changed_between_two_steps_is_refused() -> None:
    nodes = _loop()
    nodes.insert(1, helper.make_node("Neg", ["h0"], ["changed"], "neg"))
    nodes[2].input[1] = "changed"
    graph = _graph(nodes)
    (chain,) = find_chains(graph)
    with pytest.raises(
        UnsupportedError, match="its h at step 1 comes from Neg 'neg', wanted its own of the step before"
    ):
        check_chain(graph, chain, nearest_steps(graph, [chain]))


def test_a_step_that_reads_the_answer_of_another_is_refused() -> None:
    nodes = _loop()
    nodes[2].input[0] = "h0"
    graph = _graph(nodes)
    (chain,) = find_chains(graph)
    with pytest.raises(
        UnsupportedError, match="its input at step 2 depends on another step, wanted only the same frame"
    ):
        check_chain(graph, chain, nearest_steps(graph, [chain]))
