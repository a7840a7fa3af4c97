"""The exponents of integer arithmetic in a file's metadata, and the operators that still compute in floats."""

import json
from collections.abc import Mapping

from ...runtime.cells import RNN
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import label
from ...runtime.lowering.integer import Exponents, described, has_integer_form
from ...runtime.lowering.lower import QUANTIZATION_KEY
from ...runtime.operators import GruWithOptions, LstmWithOptions, Operator, RnnWithOptions
from ...runtime.program import Program


def add_exponents(graph: Graph, program: Program, exponents: Mapping[int, Exponents]) -> None:
    """Write into a quantized graph's metadata how its operations compute in integers.

    Args:
        graph: The graph. Its weights are codes.
        program: What it lowers to, in float arithmetic.
        exponents: By the index of an operation. Those of operations without an integer form are left out.
    """
    fitting = {index: given for index, given in exponents.items() if has_integer_form(program.ops[index])}
    fields = json.loads(graph.metadata(QUANTIZATION_KEY) or "{}")
    graph.set_metadata(QUANTIZATION_KEY, json.dumps(fields | {"integer": described(program, fitting)}))


def operators_in_floats(graph: Graph, program: Program) -> tuple[str, ...]:
    """Return each node that computes in floats, with the reason, e.g. `Softmax 'p': Softmax has no integer form`.

    Args:
        graph: A quantized graph.
        program: What it lowers to.
    """
    found = [(node, op) for node, op in zip(program.nodes, program.ops, strict=True) if op.floats]
    return tuple(dict.fromkeys(f"{_label(graph, node)}: {_reason(op)}" for node, op in found))


def _label(graph: Graph, node: str) -> str:
    maker = graph.producer(node)
    return node if maker is None else label(maker)


def _reason(op: Operator) -> str:
    name, weights = type(op).__name__, {m.weight_bits for m in op.record().matrices} - {8}
    if weights:
        return f"its weights have {max(weights)} bits"
    if isinstance(op, LstmWithOptions | GruWithOptions | RnnWithOptions):
        seen, wanted = (", ".join(one.name for one in form.activations) for form in (op.options, op.kind.plain))
        fit = f", wanted {wanted}" if seen != wanted and op.kind is not RNN else ""
        return f"{op.kind.name} with {seen if fit else 'options'} has no integer form{fit}"
    return f"{name} has no integer form"
