"""Small edits of an ONNX graph: rename a value, remove what is dead, forget where it was made."""

from collections import Counter
from collections.abc import Collection, Iterator

import onnx

from ..runtime.graph import Graph
from .recurrent import module_path


def rename(model: onnx.ModelProto, old: str, new: str) -> None:
    """Rename a value wherever it stands: nodes, subgraphs, initializers, inputs and outputs."""
    for graph in _graphs(model.graph):
        for node in graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]
        for item in _named(graph):
            if item.name == old:
                item.name = new


def value_names(model: onnx.ModelProto) -> set[str]:
    """Return the names of all values in the main graph."""
    graph = model.graph
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    return names | {item.name for item in _named(graph)}


def unused(name: str, taken: Collection[str]) -> str:
    """Return a name that is not taken: this one, or with a number behind it."""
    return next(n for n in (name, *(f"{name}_{i}" for i in range(1, len(taken) + 2))) if n not in taken)


def name_weights(model: onnx.ModelProto) -> None:
    """Give the weights that torch only numbers (`onnx::LSTM_193`), or computes, the name of their node and operand.

    `lstm.LSTM_1.W` is the input weight of the second layer of `lstm`. Weights with several readers keep
    their number.
    """
    graph = model.graph
    readers = Counter(name for node in graph.node for name in node.input)
    numbered = {t.name for t in graph.initializer if t.name.startswith(("onnx::", "/")) and readers[t.name] == 1}
    version = Graph(model).opset()
    for node in [node for node in graph.node if node.domain in ("", "ai.onnx")]:
        schema = onnx.defs.get_schema(node.op_type, version, node.domain)
        for name, operand in zip(node.input, schema.inputs, strict=False):
            if name in numbered:
                rename(model, name, f"{weight_place(node)}.{operand.name}")


def weight_place(node: onnx.NodeProto) -> str:
    """Return what the names of a node's weights begin with, e.g. `lstm.LSTM_1`."""
    return ".".join(part for part in (module_path(node), node.name.rpartition("/")[2]) if part)


def remove_dead(model: onnx.ModelProto) -> None:
    """Remove nodes, initializers and shape notes that no graph output needs."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(filter(None, _reads(node)))  # an empty name is an absent input
            kept.append(node)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(weights)


def forget_origin(model: onnx.ModelProto) -> None:
    """Remove documentation strings and notes: torch writes source paths of the exporting machine there."""
    model.doc_string = ""
    del model.metadata_props[:]
    for graph in _graphs(model.graph):
        graph.doc_string = ""
        del graph.metadata_props[:]
        for item in (*graph.node, *_named(graph)):
            item.doc_string = ""
            del item.metadata_props[:]


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _named(graph: onnx.GraphProto) -> list[onnx.TensorProto | onnx.ValueInfoProto]:
    """Return what a graph says of its values."""
    return [*graph.initializer, *graph.input, *graph.output, *graph.value_info]


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads, and what its subgraphs read from outside."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for graph in _graphs(inner):
                for child in graph.node:
                    yield from child.input
                yield from (output.name for output in graph.output)
