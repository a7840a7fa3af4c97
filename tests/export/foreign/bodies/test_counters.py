"""Counters: which values of a body follow the steps, and by what offset."""

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.export.foreign.bodies.counters import Place, find_places, whole_number
from tidegate.runtime.graph.graph import Graph
from tools.graphs import model_of

CONSTANTS = {"one": np.int64(1), "three": np.array([3]), "half": np.float32(0.5), "two": np.array([2, 2])}


def _graph() -> Graph:
    return Graph(model_of([], {}, [], CONSTANTS))


def _node(operator: str, *reads: str, made: str = "y") -> onnx.NodeProto:
    return helper.make_node(operator, list(reads), [made])


@pytest.mark.parametrize(
    ("node", "place"),
    [
        (_node("Add", "i", "one"), Place(1, 1)),
        (_node("Add", "three", "i"), Place(1, 3)),
        (_node("Sub", "i", "one"), Place(1, -1)),
        (_node("Sub", "three", "i"), Place(-1, 3)),
        (_node("Sub", "length", "i"), Place(-1, 0, "length")),
        (_node("Add", "i", "length"), Place(1, 0, "length")),
        (_node("Cast", "i"), Place(1)),
        (_node("Unsqueeze", "i", "one"), Place(1)),
        (_node("Sub", "i", "length"), None),  # falls below the frames
        (_node("Add", "i", "half"), None),  # no whole number, but a value of the graph around: see below
        (_node("Mul", "i", "three"), None),
        (_node("Add", "i", "i"), None),
    ],
    ids=lambda value: f"{value.op_type} {' '.join(value.input)}" if isinstance(value, onnx.NodeProto) else "",
)
def test_places(node: onnx.NodeProto, place: Place | None) -> None:
    seen = find_places(_graph(), [node], {"i": Place(1)}).get("y")
    assert seen == (Place(1, 0, "half") if "half" in node.input else place)


def test_places_follow_each_other() -> None:
    nodes = [_node("Sub", "length", "one", made="a"), _node("Sub", "a", "i", made="b"), _node("Cast", "b", made="c")]
    assert "a" not in find_places(_graph(), nodes, {"i": Place(1)})
    falling = find_places(_graph(), nodes[1:], {"i": Place(1)})["c"]
    assert falling == Place(-1, 0, "a")
    assert falling.counts_down
    assert Place(1).counts_up
    assert not Place(1, 1).counts_up


@pytest.mark.parametrize(("name", "value"), [("one", 1), ("three", 3), ("half", None), ("two", None), ("", None)])
def test_whole_numbers(name: str, value: int | None) -> None:
    assert whole_number(_graph(), name) == value
