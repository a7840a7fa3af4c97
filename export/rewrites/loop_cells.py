"""Cells in a loop over time: the calls of each cell, in order, and which steps each value depends on."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from ...runtime.cells import BY_STEP, STANDARD
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.markers import ALL_STEPS, PROJECTED, WRITTEN_STEP, is_marker


@dataclass(frozen=True)
class Chain:
    """The calls of one cell, in the order of the steps.

    Attributes:
        operator: The ONNX operator that replaces all steps.
        attributes: Its attributes.
        steps: The markers, one per step.
    """

    operator: str
    attributes: Mapping[str, Any]
    steps: tuple[onnx.NodeProto, ...]

    @property
    def written(self) -> bool:
        """Whether its weights are already those of the operator."""
        return is_marker(self.steps[0], WRITTEN_STEP)

    @property
    def states(self) -> int:
        """The number of its states."""
        return len(STANDARD[self.operator].states)

    def sizes(self, state: int) -> int | None:
        """Return the number of values of a state of an LSTM with projection, h or c; None for another cell."""
        own = self.attributes
        return (own[PROJECTED], own["hidden_size"])[state] if PROJECTED in own else None

    @property
    def weights(self) -> list[str]:
        """The names of its weights: w_ih, w_hh and, if it has biases, b_ih and b_hh; or W, R, B and P.

        With a projection they are W, R, P, B and V, as its Scan has them.
        """
        return list(self.steps[0].input[1 + self.states :])


def find_chains(graph: Graph) -> list[Chain]:
    """Return one chain per cell: all calls with the same weights."""
    found: dict[tuple[str, ...], list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.nodes:
        if is_marker(node, *ALL_STEPS):
            operator, _ = _operator(node)
            found[(node.op_type, *node.input[1 + len(STANDARD[operator].states) :])].append(node)
    return [Chain(*_operator(steps[0]), tuple(steps)) for steps in found.values()]


def _operator(step: onnx.NodeProto) -> tuple[str, dict[str, Any]]:
    """Return the ONNX operator of a step, and its attributes but hidden_size if the step is one of torch."""
    if is_marker(step, WRITTEN_STEP):
        given = attributes(step)
        return given.pop("operator"), given
    kind = step.op_type.removesuffix("Cell")
    cell = BY_STEP[kind]
    return cell.operator, {**cell.attributes, **({"activations": [kind]} if len(cell.activations) > 1 else {})}


def nearest_steps(graph: Graph, chains: Iterable[Chain]) -> dict[str, frozenset[int]]:
    """Return for each value the steps whose answers it depends on without another cell in between."""
    steps = {step.output[0]: i for chain in chains for i, step in enumerate(chain.steps)}
    near: dict[str, frozenset[int]] = {}
    for node in graph.nodes:
        own = steps.get(node.output[0])
        found = frozenset().union(*(near.get(name, ()) for name in node.input)) if own is None else frozenset((own,))
        joins = node.op_type == "Concat" and [near.get(name) for name in node.input] == _each_once(len(node.input))
        near.update(dict.fromkeys(node.output, frozenset() if joins else found))
    return near


def _each_once(count: int) -> list[frozenset[int]]:
    return [frozenset((i,)) for i in range(count)]


def joins_steps(node: onnx.NodeProto, near: Mapping[str, frozenset[int]], chains: Iterable[Chain]) -> bool:
    """Return whether a node is a Concat of one value per step of a loop, in the order of the steps."""
    lengths = {len(chain.steps) for chain in chains}
    steps = [near.get(name) for name in node.input]
    return node.op_type == "Concat" and len(steps) in lengths and steps == _each_once(len(steps))


def check_chain(graph: Graph, chain: Chain, near: Mapping[str, frozenset[int]]) -> None:
    """Refuse a chain that is not one recurrence over the frames.

    Raises:
        UnsupportedError: The state is changed between two steps, or a step reads the answer of another step.
    """
    first, states = chain.steps[0], range(chain.states)
    for place, (before, step) in enumerate(zip(chain.steps, chain.steps[1:], strict=False)):
        for i in states:
            seen = _unwrapped(graph, step.input[1 + i])
            if seen != _unwrapped(graph, before.output[i]):
                maker = graph.producer(seen)
                what = f"{label(maker)}" if maker is not None else f"{seen!r}"
                raise UnsupportedError(
                    f"{label(first)}: its {'hc'[i]} at step {place + 1} comes from {what}, wanted its own of the step "
                    "before, unchanged; use one cell for one sequence, and change no state between two steps"
                )
        if near.get(step.input[0], frozenset()) - {place + 1}:
            raise UnsupportedError(
                f"{label(first)}: its input at step {place + 1} depends on another step, wanted only the same "
                "frame; a model that reads its own answers cannot be streamed"
            )


def _unwrapped(graph: Graph, name: str) -> str:
    """Return the origin of a value before Identity, Squeeze and Unsqueeze, which add or drop axes of size 1."""
    node = graph.producer(name)
    while node is not None and node.op_type in ("Identity", "Squeeze", "Unsqueeze"):
        name = node.input[0]
        node = graph.producer(name)
    return name
