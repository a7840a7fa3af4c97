"""Small edits of an ONNX graph: rename values, sort nodes, remove dead nodes, remove traces of the exporter."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter

import onnx
from onnx import helper, numpy_helper

from ...runtime.arrays import Array
from ...runtime.errors import ExportError, ModelError

END = 2**63 - 1  # as the bound of a Slice: up to the end


def rename(model: onnx.ModelProto, old: str, new: str) -> None:
    """Rename a value everywhere: in nodes, subgraphs, initializers, inputs and outputs."""
    rename_all(model, {old: new})


def rename_all(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Rename several values at once, old names to new."""
    for graph in _graphs(model.graph):
        for node in graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
        for item in _named(graph):
            item.name = names.get(item.name, item.name)


def value_names(model: onnx.ModelProto) -> set[str]:
    """Return the names of all values in the main graph."""
    graph = model.graph
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    return names | {item.name for item in _named(graph)}


def read_names(model: onnx.ModelProto) -> set[str]:
    """Return the names of the values that the nodes of the main graph and its outputs read."""
    return {name for node in model.graph.node for name in reads(node)} | {item.name for item in model.graph.output}


def unused(name: str, taken: Collection[str]) -> str:
    """Return a name that is not taken: this name, or this name with a number at its end."""
    return next(n for n in (name, *(f"{name}_{i}" for i in range(1, len(taken) + 2))) if n not in taken)


def input_named(model: onnx.ModelProto, name: str) -> onnx.ValueInfoProto:
    """Return an input of the graph."""
    return next(item for item in model.graph.input if item.name == name)


def add_constant(model: onnx.ModelProto, name: str, values: Array) -> str:
    """Add an initializer of this name, or of this name with a number if it is taken, in place; return its name."""
    free = unused(name, value_names(model))
    model.graph.initializer.append(numpy_helper.from_array(values, free))
    return free


def copied(
    node: onnx.NodeProto, inputs: Sequence[str], outputs: Sequence[str], dropped: Collection[str] = (), **given: object
) -> onnx.NodeProto:
    """Return a copy of a node with other inputs and outputs, without dropped attributes, and with those given."""
    made = onnx.NodeProto()
    made.CopyFrom(node)
    made.input[:], made.output[:] = inputs, outputs
    kept = [attribute for attribute in node.attribute if attribute.name not in {*dropped, *given}]
    del made.attribute[:]
    made.attribute.extend([*kept, *(helper.make_attribute(key, value) for key, value in given.items())])
    return made


def set_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Let a graph have these nodes and no others, in place; they may be its own."""
    kept = list(nodes)
    del model.graph.node[:]
    model.graph.node.extend(kept)


def remove_dead(model: onnx.ModelProto) -> None:
    """Remove nodes, initializers and shape entries that no graph output needs."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(filter(None, reads(node)))  # an empty name is an absent input
            kept.append(node)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(weights)


def sort_nodes(model: onnx.ModelProto) -> None:
    """Sort nodes so that each comes after the nodes whose values it reads, as ONNX requires."""
    nodes = dict(enumerate(model.graph.node))
    makers = {name: i for i, node in nodes.items() for name in node.output if name}
    order = TopologicalSorter(
        {i: {makers[name] for name in reads(node) if name in makers} for i, node in nodes.items()}
    )
    ordered = [nodes[i] for i in order.static_order()]
    set_nodes(model, ordered)


def forget_origin(model: onnx.ModelProto) -> None:
    """Remove documentation strings and metadata: torch writes source paths of the exporting machine there."""
    model.doc_string = ""
    del model.metadata_props[:]
    for graph in _graphs(model.graph):
        graph.doc_string = ""
        del graph.metadata_props[:]
        for item in (*graph.node, *_named(graph)):
            item.doc_string = ""
            del item.metadata_props[:]


def inner_graphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs in a node's attributes: the branches of an If, the body of a Loop or Scan."""
    found: list[onnx.GraphProto] = []
    for attribute in node.attribute:
        found += [attribute.g] if attribute.HasField("g") else []
        found += attribute.graphs
    return found


def drop_identities(model: onnx.ModelProto) -> None:
    """Remove Identity nodes: their readers read the input instead; an Identity that makes a graph output stays."""
    outputs = {item.name for item in model.graph.output}
    kept, origins = [], dict[str, str]()
    for node in model.graph.node:
        if node.op_type == "Identity" and node.output[0] not in outputs:
            origins[node.output[0]] = origins.get(node.input[0], node.input[0])
        else:
            kept.append(node)
    set_nodes(model, kept)
    rename_all(model, origins)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for inner in inner_graphs(node):
            yield from _graphs(inner)


def _named(graph: onnx.GraphProto) -> list[onnx.TensorProto | onnx.ValueInfoProto]:
    """Return a graph's entries that carry the name of a value."""
    return [*graph.initializer, *graph.input, *graph.output, *graph.value_info]


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node and its subgraphs read, absent inputs as empty names."""
    yield from node.input
    for inner in inner_graphs(node):
        for graph in _graphs(inner):
            for child in graph.node:
                yield from child.input
            yield from (output.name for output in graph.output)


def inferred(model: onnx.ModelProto) -> onnx.GraphProto:
    """Return the graph of a model with the shapes that ONNX can infer.

    Raises:
        ModelError: A node contradicts the others, or its operator set is not imported.
    """
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        first = str(error).partition("\n")[0][:300]
        raise ModelError(f"the shapes of its values cannot be inferred: {first}; export the model again") from None


def check_model(model: onnx.ModelProto) -> None:
    """Check a finished model by the ONNX checker.

    Raises:
        ExportError: The checker refuses the model.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        first = str(error).partition("\n")[0][:300]
        raise ExportError(
            f"the ONNX checker refuses the lifted file: {first}; report this as a fault of tidegate"
        ) from error
