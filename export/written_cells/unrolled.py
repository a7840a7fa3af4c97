"""Loops over time that tracing unrolled: the same products with weights again and again, each after the one before."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx

from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes

FEWEST_STEPS = 4  # a first step, a last step and two between

_PRODUCTS = ("Gemm", "MatMul")


@dataclass(frozen=True)
class UnrolledLoop:
    """A loop whose steps depend on each other.

    Attributes:
        steps: The number of steps.
        levels: For each value that depends on the loop, the last step that it depends on.
    """

    steps: int
    levels: Mapping[str, int]

    def made_in(self, step: int) -> list[str]:
        """Return the values of one step, in the order of the file."""
        return [name for name, level in self.levels.items() if level == step]


def find_loops(graph: Graph) -> list[UnrolledLoop]:
    """Return the unrolled loops of a graph, at least FEWEST_STEPS steps each."""
    products = [chain for chain in _same_products(graph) if len(chain) >= FEWEST_STEPS]
    bits = {node.output[0]: 1 << i for i, node in enumerate(node for chain in products for node in chain)}
    needs = _needs(graph, bits)
    chains = [[bits[node.output[0]] for node in chain] for chain in products if _is_chain(chain, bits, needs)]
    return [_loop(group, needs) for group in _grouped(chains, needs, bits)]


def _same_products(graph: Graph) -> Iterator[list[onnx.NodeProto]]:
    """Yield the products of a value with the same weights."""
    found: dict[object, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.nodes:
        constants = [graph.constant(name) for name in node.input] if node.op_type in _PRODUCTS else []
        weights = [None if values is None else (values.shape, values.tobytes()) for values in constants]
        if weights[:2].count(None) == 1:
            found[(node.op_type, *weights)].append(node)
    yield from found.values()


def _needs(graph: Graph, bits: Mapping[str, int]) -> dict[str, int]:
    """Return for each value the products that it depends on, as bits."""
    needs: dict[str, int] = {}
    for node in graph.nodes:
        own = bits.get(node.output[0], 0)
        for name in node.input:
            own |= needs.get(name, 0)
        if own:
            needs.update(dict.fromkeys(filter(None, node.output), own))
    return needs


def _is_chain(nodes: Sequence[onnx.NodeProto], bits: Mapping[str, int], needs: Mapping[str, int]) -> bool:
    """Return whether each product depends on the one before."""
    return all(needs[after.output[0]] & bits[before.output[0]] for before, after in pairwise(nodes))


def _grouped(
    chains: Sequence[list[int]], needs: Mapping[str, int], bits: Mapping[str, int]
) -> Iterator[list[list[int]]]:
    """Yield the chains of each loop: of equal length, none at its second step after the end of another.

    The first product of a chain may read only the initial state, and depend on nothing.
    """
    by_bit = {bit: needs[name] for name, bit in bits.items()}
    left = list(chains)
    while left:
        first = left[0]
        group = [
            one
            for one in left
            if len(one) == len(first) and not by_bit[one[1]] & first[-1] and not by_bit[first[1]] & one[-1]
        ]
        left = [one for one in left if one not in group]
        yield group


def _loop(chains: Sequence[list[int]], needs: Mapping[str, int]) -> UnrolledLoop:
    masks = [int(np.bitwise_or.reduce(np.array(bits, object))) for bits in zip(*chains, strict=True)]
    levels = {}
    for name, own in needs.items():
        reached = [step for step, mask in enumerate(masks) if own & mask]
        if reached:
            levels[name] = reached[-1]
    return UnrolledLoop(len(masks), levels)


def carried(graph: Graph, loop: UnrolledLoop, step: int) -> list[str]:
    """Return the values of a step that the next step computes with, for the step after it; two steps must follow."""
    later = graph.sources_of([name for name in loop.levels if loop.levels[name] == step + 2])
    found: dict[str, None] = {}
    for node in graph.nodes:
        if loop.levels.get(node.output[0]) == step + 1 and later.intersection(node.output):
            found.update(dict.fromkeys(name for name in node.input if loop.levels.get(name) == step))
    return [name for name in found if not _follows(graph, name, found)]


def _follows(graph: Graph, name: str, carried: Collection[str]) -> bool:
    """Return whether a carried value is computed from other carried values and constants, as 0.9 h is."""
    node, seen = graph.producer(name), {name, ""}
    if node is None:
        return False
    waiting = list(node.input)
    while waiting:
        read = waiting.pop()
        if read in seen or read in carried or graph.constant(read) is not None:
            continue
        seen.add(read)
        node = graph.producer(read)
        if node is None:
            return False
        waiting += node.input
    return True


def common_values(graph: Graph, loop: UnrolledLoop) -> set[str]:
    """Return the values that the first two steps of a loop both read, as a sequence is."""
    first, second = (carried(graph, loop, step) for step in range(2))
    return graph.sources_of(first) & graph.sources_of(second, first)


def counterparts(  # noqa: PLR0917  its last argument has a default
    graph: Graph,
    name: str,
    other: str,
    known: Mapping[str, str],
    ends: AbstractSet[str],
    folded: Callable[[str, str], bool] | None = None,
) -> dict[str, str] | None:
    """Return for each value that one value is made of its counterpart in another; None if they are made differently.

    Args:
        graph: The graph.
        name: The value.
        other: The value of another step.
        known: Counterparts that are known.
        ends: Values of the first step at which the search stops.
        folded: Whether a value of the other step is a constant that stands for one of the first; None: none is.
    """
    pairs, found = [(name, other)], dict(known)
    while pairs:
        one, two = pairs.pop()
        if one in found:
            if found[one] != two:
                return None
            continue
        found[one] = two
        if one in ends or one == two or (folded is not None and folded(one, two)):
            continue
        more = _inputs_of_equals(graph, one, two)
        if more is None:
            return None
        pairs += more
    return found


def _inputs_of_equals(graph: Graph, one: str, two: str) -> list[tuple[str, str]] | None:
    """Return the inputs of two values, in pairs, if the same operator makes them; None if they are made differently."""
    first, second = graph.constant(one), graph.constant(two)
    if first is not None or second is not None:
        return [] if first is not None and second is not None and np.array_equal(first, second) else None
    a, b = graph.producer(one), graph.producer(two)
    if a is None or b is None or a.op_type != b.op_type or len(a.input) != len(b.input):
        return None
    if list(a.output).index(one) != list(b.output).index(two) or _text(a) != _text(b):
        return None
    return list(zip(a.input, b.input, strict=True))


def _text(node: onnx.NodeProto) -> str:
    return repr(sorted(attributes(node).items()))
