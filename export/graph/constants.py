"""Folding of constants that a graph computes: torch writes paddings and normalized weights as chains of nodes."""

from collections.abc import Set as AbstractSet

import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from ...runtime.graph.graph import Graph
from .editing import reads

_NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}
CODES = "DequantizeLinear"  # weights stored as codes stay codes
RANDOM = frozenset(("Bernoulli", "Dropout", "Multinomial", "RandomNormalLike", "RandomUniformLike"))


def fold_constants(model: onnx.ModelProto, operators: AbstractSet[str] | None = None) -> None:
    """Replace values that follow only from constants by initializers, in place.

    Args:
        model: The model.
        operators: The operators to fold; None: all.
    """
    graph = model.graph
    known = {tensor.name for tensor in graph.initializer}
    chains: list[onnx.NodeProto] = []
    for node in graph.node:
        follows = bool(node.input) and known.issuperset(filter(None, node.input)) and _plain(node)
        if node.op_type == "Constant" or (follows and (operators is None or node.op_type in operators)):
            chains.append(node)
            known.update(node.output)
    computed = {name for node in chains if node.op_type != "Constant" for name in node.output if name}
    if not computed:
        return
    rest = [node for node in graph.node if not computed.intersection(node.output)]
    wanted = sorted(computed.intersection(_reads(rest), known) | computed.intersection(o.name for o in graph.output))
    values = _evaluate(model, chains, wanted)
    del graph.node[:]
    graph.node.extend(rest)
    graph.initializer.extend(values)


def fold_neutral(model: onnx.ModelProto) -> None:
    """Turn each addition of a constant scalar 0 and each multiplication by 1 into an Identity, in place.

    Silero VAD adds 0 times the sample rate to its state, so that torch's tracer keeps that input.
    """
    graph = Graph(model)
    for node in model.graph.node:
        neutral = _NEUTRAL.get(node.op_type)
        values = [graph.constant(name) for name in node.input] if neutral is not None else []
        for position, value in enumerate(values):
            swaps = position == 1 or node.op_type in ("Add", "Mul")
            if swaps and value is not None and value.size == 1 and value.ndim <= 1 and value.item() == neutral:
                kept = node.input[1 - position]
                node.CopyFrom(helper.make_node("Identity", [kept], list(node.output), node.name))
                break


def _plain(node: onnx.NodeProto) -> bool:
    """Return whether a node may be folded: not random, without inner graphs, and no DequantizeLinear."""
    inner = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
    return node.domain in ("", "ai.onnx") and node.op_type not in RANDOM | {CODES} and not inner


def _reads(nodes: list[onnx.NodeProto]) -> set[str]:
    return {name for node in nodes for name in reads(node)}


def _evaluate(model: onnx.ModelProto, nodes: list[onnx.NodeProto], names: list[str]) -> list[onnx.TensorProto]:
    """Run constant nodes and return the named values as initializers."""
    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    read = _reads(nodes)
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in read]
    body = helper.make_graph(nodes, "constants", [], outputs, tensors)
    part = helper.make_model(body, opset_imports=model.opset_import)
    values = ReferenceEvaluator(part).run(None, {})
    return [numpy_helper.from_array(value, name) for name, value in zip(names, values, strict=True)]
