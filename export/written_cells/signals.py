"""The signals of a step: the values that it reads besides its states, taken as far back as its first products."""

from collections.abc import Collection, Mapping, Sequence

import onnx

from ...runtime.cells import CELLS
from ...runtime.graph.graph import Graph
from ..graph.recurrent_nodes import MOVES
from .small_operators import ACTIVATIONS

_JOINS = frozenset(("Add", "Concat", "Neg", "Sub", "Sum"))
_PRODUCTS = ("Gemm", "MatMul")
_BOUNDED = frozenset(ACTIVATIONS) | {"Clip"}  # Keras writes its hard sigmoid with a Clip


def find_signals(graph: Graph, states: Mapping[str, str], common: Collection[str] = ()) -> list[str]:
    """Return the values that a step reads besides its states and constants, in the order of the file.

    If a step adds what the signal contributes to its gates, the signal is taken before that product.

    Args:
        graph: A graph whose constants and sizes are initializers.
        states: The states of one cell, and the names of their next values.
        common: Values that all steps of a loop share, as a sequence is: a signal is one frame of it.
    """
    cone = _cone(graph, states)
    dependent = {name for node in cone for name in node.output}.union(states)
    found: list[str] = []
    for node in cone:
        for name in node.input:
            if name and name not in dependent and graph.constant(name) is None:
                before = _meets_product(graph, node, dependent)
                found += [name] if before else _before_product(graph, name, common)
    return list(dict.fromkeys(found))


def groups(graph: Graph, carried: Mapping[str, str]) -> list[dict[str, str]]:
    """Return carried values in groups that depend on each other: the states of one cell are in one group.

    What only moves, and what a recurrent node carries, is in no group.

    Args:
        graph: The graph.
        carried: Values that are carried from frame to frame, each with the name of its next value.
    """
    needs = {name: _needs(graph, name, carried) for name in carried}
    found: list[dict[str, str]] = []
    for name in carried:
        own = [other for other in carried if other in needs[name] and name in needs[other]]
        if name in own and not any(name in group for group in found):
            found.append({other: carried[other] for other in own})
    return found


def _needs(graph: Graph, name: str, carried: Mapping[str, str]) -> set[str]:
    """Return the carried values that the next value of one is computed from; none if a recurrent node does that."""
    waiting, seen = [carried[name]], set[str]()
    while waiting:
        node = graph.producer(wanted := waiting.pop())
        if wanted in seen or (node is not None and node.op_type in CELLS and wanted == carried[name]):
            continue
        seen.add(wanted)
        waiting += node.input if node is not None and wanted not in carried else ()
    return seen.intersection(carried)


def _cone(graph: Graph, states: Mapping[str, str]) -> list[onnx.NodeProto]:
    """Return the nodes between the states and their next values, in the order of the file."""
    after, ends = set(states), set[str]()
    for node in graph.nodes:
        if after.intersection(node.input):
            after.update(node.output)
    waiting = list(states.values())
    while waiting:
        maker = graph.producer(name := waiting.pop())
        if name in after and name not in ends and name not in states and maker is not None:
            ends.update(maker.output)
            waiting += maker.input
    return [node for node in graph.nodes if ends.intersection(node.output)]


def _meets_product(graph: Graph, node: onnx.NodeProto, dependent: Collection[str]) -> bool:
    """Return whether what a node computes is multiplied by weights before its next activation."""
    waiting, seen = [node], set[str]()
    while waiting:
        node = waiting.pop()
        if node.op_type in _PRODUCTS:
            return True
        if node.op_type not in _BOUNDED and node.output[0] in dependent and node.output[0] not in seen:
            seen.add(node.output[0])
            waiting += [reader for name in node.output for reader in graph.consumers(name)]
    return False


def _is_linear(node: onnx.NodeProto, varying: Sequence[str]) -> bool:
    return node.op_type in _JOINS or (node.op_type in MOVES and len(varying) == 1)


def _before_product(graph: Graph, name: str, common: Collection[str]) -> list[str]:
    """Return the values whose products with weights add up to a value; the value itself if it is no such sum."""
    waiting, seen, found, products = [name], set[str](), list[str](), 0
    while waiting:
        node = graph.producer(wanted := waiting.pop(0))
        if wanted in seen:
            continue
        seen.add(wanted)
        varying = [one for one in node.input if one and graph.constant(one) is None] if node is not None else []
        if node is not None and node.op_type in _PRODUCTS and len(varying) == 1:
            products += 1
            found += varying
        elif node is not None and _is_linear(node, varying) and not any(one in common for one in varying):
            waiting = varying + waiting
        else:
            found.append(wanted)
    return found if products else [name]
