"""Counters in the body of a Loop: values that say which step it is, and so which frame is read or written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx

from ....runtime.graph.graph import Graph
from ...graph.recurrent_nodes import operand

_SAME = frozenset(("Cast", "Expand", "Identity", "Reshape", "Squeeze", "Unsqueeze"))


@dataclass(frozen=True)
class Place:
    """A number that follows the steps: `sign` times the step, plus an offset.

    Attributes:
        sign: 1, or -1 for a number that falls.
        offset: The known part of the offset.
        outer: A value of the outer graph that is added, such as the number of frames; empty if there is none.
    """

    sign: int
    offset: int = 0
    outer: str = ""

    @property
    def counts_up(self) -> bool:
        """Whether the number is that of the step: 0, 1, 2 and so on."""
        return self == Place(1)

    @property
    def counts_down(self) -> bool:
        """Whether the number falls by one with each step, from a number that the outer graph says."""
        return self.sign == -1


def find_places(graph: Graph, nodes: Iterable[onnx.NodeProto], known: Mapping[str, Place]) -> dict[str, Place]:
    """Return the values of a body that follow the steps.

    Args:
        graph: The outer graph.
        nodes: The nodes of the body.
        known: The number of the step, and carried values that are assumed to be counters.
    """
    places = dict(known)
    made = {name for node in nodes for name in node.output}
    for node in nodes:
        place = _place(graph, node, places, made)
        if place is not None:
            places[node.output[0]] = place
    return places


def _place(graph: Graph, node: onnx.NodeProto, places: Mapping[str, Place], made: set[str]) -> Place | None:
    """Return the place that a node makes of places; None if its answer is no place."""
    first = places.get(operand(node, 0))
    if node.op_type in _SAME:
        return first
    if node.op_type not in ("Add", "Sub"):
        return None
    second = places.get(operand(node, 1))
    if first is not None and second is None:
        return _shifted(graph, first, node.input[1], made, 1 if node.op_type == "Add" else -1)
    if second is not None and first is None:
        turned = second if node.op_type == "Add" else Place(-second.sign, -second.offset, second.outer)
        return _shifted(graph, turned, node.input[0], made, 1) if not second.outer else None
    return None


def _shifted(graph: Graph, place: Place, name: str, made: set[str], sign: int) -> Place | None:
    """Return a place to which a constant or a value of the outer graph is added."""
    value = whole_number(graph, name)
    if value is not None:
        return replace(place, offset=place.offset + sign * value)
    if name in made or place.outer or sign < 0:
        return None
    return replace(place, outer=name)


def whole_number(graph: Graph, name: str) -> int | None:
    """Return a constant integer; None for any other value."""
    value = graph.constant(name) if name else None
    single = value is not None and value.size == 1 and np.issubdtype(value.dtype, np.integer)
    return int(value.item()) if single and value is not None else None
