"""Einsum of features in groups, each with its own matrix (`btgi,gih->btgh`), as one MatMul per group."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.editing import unused, value_names


def write_grouped_products(model: onnx.ModelProto) -> None:
    """Replace Einsum nodes that multiply each group of features by a constant matrix, in place."""
    graph, nodes = Graph(model), list[onnx.NodeProto]()
    for node in model.graph.node:
        nodes += _products(model, graph, node) if node.op_type == "Einsum" else [node]
    kept = list(nodes)
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _products(model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    weights = graph.constant(node.input[1]) if len(node.input) == 2 else None
    equation = attributes(node)["equation"].replace(" ", "")
    read, _, rest = equation.partition(",")
    matrix, _, made = rest.partition("->")
    lead, group, own = read[:-2], read[-2:-1], read[-1:]
    if (
        weights is None
        or len({*read, *made}) != len(read) + 1
        or (matrix, made)
        != (
            f"{group}{own}{made[-1:]}",
            f"{lead}{group}{made[-1:]}",
        )
    ):
        return [node]
    taken, answer, axis = value_names(model), node.output[0], len(lead)
    nodes, parts = list[onnx.NodeProto](), []
    at = unused(f"{answer}/axis", taken)
    model.graph.initializer.append(numpy_helper.from_array(np.array([axis]), at))
    for number, one in enumerate(weights):
        names = [unused(f"{answer}/{what}{number}", taken) for what in ("index", "weights", "group", "product", "part")]
        index, matrix_name, group_name, product, part = names
        model.graph.initializer.append(numpy_helper.from_array(np.array(number), index))
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(one), matrix_name))
        nodes.append(helper.make_node("Gather", [node.input[0], index], [group_name], group_name, axis=axis))
        nodes.append(helper.make_node("MatMul", [group_name, matrix_name], [product], product))
        nodes.append(helper.make_node("Unsqueeze", [product, at], [part], part))
        parts.append(part)
    return [*nodes, helper.make_node("Concat", parts, [answer], f"{node.name}/Concat", axis=axis)]
