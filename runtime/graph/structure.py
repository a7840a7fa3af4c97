"""The checks of a parsed graph: one maker for each value, no circles, and recurrent weights that fit their cell.

Without them one file means different things to different runtimes: of two initializers of one name onnxruntime takes
the first, and a dictionary the last.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from math import prod

import onnx

from ..cells import STANDARD
from ..errors import ModelError
from .nodes import attributes, is_standard, label, origin, passed_on

MAX_VALUES = 2**31 - 1  # of one value, as its shape says; protobuf's own limit of bytes
MAX_INPUT = 2**24  # values of an input: trials and proofs make inputs of the size that it says


def check_graph(graph: onnx.GraphProto, path: str) -> None:
    """Check the values of a graph; graphs inside it are checked by themselves.

    Raises:
        ModelError: A name has two makers, a node reads what follows from its own output, a shape is too large, or
            recurrent weights do not fit their node.
    """
    outputs = [name for node in graph.node for name in node.output if name]
    _refuse_twice([*(tensor.name for tensor in graph.initializer), *outputs], path)
    _refuse_twice([*(item.name for item in graph.input), *outputs], path)
    _refuse_twice([item.name for item in graph.output], path)
    makers = {name: node for node in graph.node for name in node.output}
    passed = passed_on(graph, ["DequantizeLinear", "Identity"])
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for item in graph.input:  # up to IR version 3 weights are among them
        _check_shape(item, MAX_VALUES if item.name in tensors else MAX_INPUT, path)
    for item in (*graph.output, *graph.value_info):
        _check_shape(item, MAX_VALUES, path)
    _refuse_circles(graph, path)
    for node in graph.node:
        if node.op_type in STANDARD and is_standard(node):
            weights = [origin(passed, name) for name in node.input[1:3]]
            _check_weights(node, [_shape(name, makers, tensors) for name in weights], path)


def _refuse_twice(names: Iterable[str], path: str) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ModelError(
            f"{path}: {twice!r} is the name of more than one value, wanted a name for each; export the model again"
        )


def _check_shape(item: onnx.ValueInfoProto, most: int, path: str) -> None:
    sizes = [dim.dim_value for dim in item.type.tensor_type.shape.dim]
    if prod(size for size in sizes if size > 0) > most:
        raise ModelError(f"{path}: {item.name!r} has shape {sizes}, at most {most} values are allowed")


def _refuse_circles(graph: onnx.GraphProto, path: str) -> None:
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    needs = {index: {makers[name] for name in _reads(node) if name in makers} for index, node in enumerate(graph.node)}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        node = graph.node[error.args[1][0]]
        raise ModelError(
            f"{path}: {label(node)} reads a value that follows from its own output; a graph has no circles, export the "
            "model again"
        ) from None


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the values that a node reads; the graphs inside it read values of the graph around it."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            own = {item.name for item in graph.input}.union(tensor.name for tensor in graph.initializer)
            own.update(name for inner in graph.node for name in inner.output)
            read = [name for inner in graph.node for name in _reads(inner)]
            yield from (name for name in [*read, *(item.name for item in graph.output)] if name not in own)


def _shape(name: str, makers: dict[str, onnx.NodeProto], tensors: dict[str, onnx.TensorProto]) -> list[int] | None:
    """Return the shape of a constant; None if it is none."""
    if name in tensors:
        return list(tensors[name].dims)
    node = makers.get(name)
    if node is None or node.op_type != "Constant":
        return None
    return next((list(a.t.dims) for a in node.attribute if a.name == "value"), None)


def _check_weights(node: onnx.NodeProto, shapes: list[list[int] | None], path: str) -> None:
    """Compare W and R with the attributes: onnxruntime goes by these, and the engine by R."""
    values, gates = attributes(node), len(STANDARD[node.op_type].gates)
    hidden = values.get("hidden_size", 0)
    if type(hidden) is not int or hidden < 1:
        raise ModelError(f"{path}: {label(node)}: hidden_size is {hidden!r}, wanted 1 or more; export the model again")
    rows = (2 if values.get("direction") == "bidirectional" else 1, gates * hidden)
    for name, shape, columns in zip("WR", shapes, (None, hidden), strict=False):
        wanted = [*rows, columns]
        if shape is not None and not _fits(shape, wanted):
            text = ", ".join("features" if size is None else str(size) for size in wanted)
            raise ModelError(
                f"{path}: {label(node)}: {name} has shape {shape}, wanted [{text}] for hidden_size {hidden}; export "
                "the model again"
            )


def _fits(shape: list[int], wanted: list[int | None]) -> bool:
    return len(shape) == len(wanted) and all(
        size > 0 if want is None else size == want for size, want in zip(shape, wanted, strict=True)
    )
