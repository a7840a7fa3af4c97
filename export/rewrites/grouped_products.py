"""Einsum with a weight: one MatMul, or one for each group of features, as the grouped layers of DeepFilterNet.

The MatMuls have weights of two axes, so that quantization and the engine take them as any other.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from ...runtime.arrays import Array
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.editing import add_constant, set_nodes


@dataclass(frozen=True)
class _Product:
    """A product of values `[..., groups, inputs]` with weights `[groups, inputs, outputs]`, or both without groups."""

    weights: Array
    grouped: bool


def write_products(model: onnx.ModelProto) -> None:
    """Replace each Einsum of a value and a constant that multiplies features, by group or not, by MatMuls, in place.

    Args:
        model: An ONNX model. Other Einsums stay.
    """
    graph, nodes = Graph(model), list[onnx.NodeProto]()
    for node in model.graph.node:
        product = _product(graph, node) if node.op_type == "Einsum" else None
        nodes += [node] if product is None else _products(model, node, product)
    set_nodes(model, nodes)


def _product(graph: Graph, node: onnx.NodeProto) -> _Product | None:
    """Return the product that an Einsum is; None if it is another sum."""
    weights = graph.constant(node.input[1]) if len(node.input) == 2 else None
    left, _, made = attributes(node)["equation"].replace(" ", "").partition("->")
    value, _, named = left.partition(",")
    if weights is None or len(named) != weights.ndim or not value or not made or value[-1] in made:
        return None
    groups, inputs, outputs = value[-2:-1] if weights.ndim == 3 else "", value[-1], made[-1]
    wanted = groups + inputs + outputs
    fits = (
        len({*value}) == len(value)
        and made == value[:-1] + outputs
        and outputs not in value
        and sorted(named) == sorted(wanted)
    )
    return _Product(np.transpose(weights, [named.index(letter) for letter in wanted]), bool(groups)) if fits else None


def _products(model: onnx.ModelProto, node: onnx.NodeProto, product: _Product) -> list[onnx.NodeProto]:
    """Return the MatMuls in the place of an Einsum; their weights become initializers."""
    value, (made,), path = node.input[0], node.output, node.name or node.output[0]
    if not product.grouped:
        weight = add_constant(model, f"{path}/weight", product.weights)
        return [helper.make_node("MatMul", [value, weight], [made], node.name)]
    groups = range(len(product.weights))
    names = [add_constant(model, f"{path}/{group}/weight", product.weights[group]) for group in groups]
    sizes = add_constant(model, f"{path}/groups/weight", np.ones(len(groups), np.int64))
    parts, answers = ([f"{made}/{kind}_{group}" for group in groups] for kind in ("part", "answer"))
    return [
        helper.make_node("Split", [value, sizes], parts, f"{path}/Split", axis=-2),
        *(
            helper.make_node("MatMul", [part, name], [answer], f"{path}/MatMul_{group}")
            for group, (part, name, answer) in enumerate(zip(parts, names, answers, strict=True))
        ),
        helper.make_node("Concat", answers, [made], f"{path}/Concat", axis=-2),
    ]
