"""A quantized file whose layers compute with integers: their exponents go into its metadata."""

import json
from collections.abc import Mapping

from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import label
from ...runtime.lowering.integer import Exponents, described, has_integer_form
from ...runtime.lowering.lower import QUANTIZATION_KEY, lower
from ...runtime.operators import Operator
from ...runtime.program import Program


def with_integers(graph: Graph, exponents: Mapping[int, Exponents]) -> tuple[Graph, tuple[str, ...]]:
    """Return a quantized graph that says how its operations compute in integers, and what computes in floats.

    Args:
        graph: A graph whose weights are codes.
        exponents: Of its operations, by their place in the program.
    """
    program = lower(graph)
    fitting = {i: e for i, e in exponents.items() if has_integer_form(program.ops[i])}
    fields = json.loads(graph.metadata(QUANTIZATION_KEY) or "{}")
    graph.set_metadata(QUANTIZATION_KEY, json.dumps(fields | {"integer": described(program, fitting)}))
    graph = Graph(graph.model)
    return graph, _in_floats(graph, lower(graph))


def _in_floats(graph: Graph, program: Program) -> tuple[str, ...]:
    """Return the nodes whose operations compute in floats, each once."""
    found = [(node, op) for node, op in zip(program.nodes, program.ops, strict=True) if op.floats]
    return tuple(dict.fromkeys(f"{_label(graph, node)}: {_reason(op)}" for node, op in found))


def _label(graph: Graph, node: str) -> str:
    maker = graph.producer(node)
    return node if maker is None else label(maker)


def _reason(op: Operator) -> str:
    name, weights = type(op).__name__, {m.weight_bits for m in op.record().matrices} - {8}
    return f"its weights are of {max(weights)} bits" if weights else f"{name} has no integer form"
