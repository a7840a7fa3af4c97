"""Sizes that torch computes in chains of nodes: fixed ones are constants, those of Expand follow the signal's."""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.arrays import Array
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from .axes import Dims
from .constants import fold_constants
from .editing import set_nodes, unused, value_names


def write_expands(model: onnx.ModelProto, dims: Mapping[str, Dims], source: str) -> None:
    """Let each Expand of known shape, and each Tile of axes of size 1, take its sizes from the signal's, in place.

    A ConstantOfShape that the signal's sizes fill becomes an Expand of its constant. A size that is read and always the
    same, as `x.std(-1)` reads the number of features, becomes a constant.

    Args:
        model: An ONNX model.
        dims: The shapes of its values; a size that follows axis i of the signal is `axis<i>`.
        source: The signal input.
    """
    _write_sizes(model, dims)
    _write_fills(model, dims)
    graph, taken, nodes = Graph(model), value_names(model), list[onnx.NodeProto]()
    for node in model.graph.node:
        if (
            node.op_type in ("Expand", "Tile")
            and graph.constant(node.input[1]) is None
            and _only_repeats(graph, dims, node)
        ):
            name = unused(f"{node.output[0]}/sizes", taken)
            taken.add(name)
            nodes += _sizes(model, dims[node.output[0]], source, name)
            node.CopyFrom(helper.make_node("Expand", [node.input[0], name], list(node.output), node.name))
        nodes.append(node)
    set_nodes(model, nodes)


def _write_sizes(model: onnx.ModelProto, dims: Mapping[str, Dims]) -> None:
    """Replace each read of a fixed size by a constant, and fold what follows from it, in place."""
    graph, fixed = Graph(model), dict[str, Array]()
    for node in (node for node in graph.nodes if node.op_type in ("Gather", "Slice")):
        shape, given = graph.producer(node.input[0]), [graph.constant(name) for name in node.input[1:]]
        sizes = dims.get(shape.input[0], (None,)) if shape is not None and shape.op_type == "Shape" else (None,)
        if shape is None or shape.attribute or None in sizes or any(value is None for value in given):
            continue
        read = _read(np.array(sizes, object), [value for value in given if value is not None])
        if all(isinstance(size, int) for size in np.ravel(read)):
            fixed[node.output[0]] = np.array(read, np.int64)
    if fixed:
        set_nodes(model, [node for node in model.graph.node if node.output[0] not in fixed])
        model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in fixed.items())
        fold_constants(model)


def _read(sizes: Array, given: Sequence[Array]) -> Array:
    """Return the sizes that a Gather of one input takes, or a Slice of several."""
    if len(given) == 1:
        return np.asarray(sizes.take(given[0], mode="wrap"), object)
    start, end, *_ = (int(value.item()) for value in given)
    return sizes[start : end : int(given[3].item()) if len(given) > 3 else 1]


def _write_fills(model: onnx.ModelProto, dims: Mapping[str, Dims]) -> None:
    """Replace each ConstantOfShape of known shape that follows the signal by an Expand, in place."""
    graph, taken = Graph(model), value_names(model)
    for node in [node for node in model.graph.node if node.op_type == "ConstantOfShape"]:
        if _follows(graph, dims, node):
            node.CopyFrom(_of_constant(model, node, len(dims[node.output[0]]), taken))


def _follows(graph: Graph, dims: Mapping[str, Dims], node: onnx.NodeProto) -> bool:
    """Return whether the shape that a node fills is known and follows the signal."""
    shape = dims.get(node.output[0], (None,))
    known = None not in shape and any(isinstance(size, str) for size in shape)
    return known and graph.constant(node.input[0]) is None


def _of_constant(model: onnx.ModelProto, node: onnx.NodeProto, rank: int, taken: set[str]) -> onnx.NodeProto:
    """Return an Expand in the place of a ConstantOfShape; its constant becomes an initializer."""
    given = attributes(node).get("value")
    value = np.zeros(1, np.float32) if given is None else numpy_helper.to_array(given)
    name = unused(f"{node.output[0]}/value", taken)
    taken.add(name)
    model.graph.initializer.append(numpy_helper.from_array(value.reshape([1] * rank), name))
    return helper.make_node("Expand", [name, node.input[0]], list(node.output), node.name)


def _only_repeats(graph: Graph, dims: Mapping[str, Dims], node: onnx.NodeProto) -> bool:
    """Return whether the shapes of a node are known, and it only repeats axes of size 1."""
    constant, after = graph.constant(node.input[0]), dims.get(node.output[0], (None,))
    before = dims.get(node.input[0], (None,)) if constant is None else constant.shape
    same = (1,) * (len(after) - len(before)) + before
    known = all(isinstance(size, int) or re.fullmatch(r"axis\d+", size or "") for size in after)
    return known and len(same) == len(after) and all(a in (1, b) for a, b in zip(same, after, strict=True))


def _sizes(model: onnx.ModelProto, shape: Dims, source: str, name: str) -> Iterator[onnx.NodeProto]:
    """Yield nodes that make a shape; sizes that are numbers become initializers."""
    parts = [f"{name}.{axis}" for axis in range(len(shape))]
    for part, size in zip(parts, shape, strict=True):
        if isinstance(size, str):
            yield from size_nodes(model, source, int(size.removeprefix("axis")), part)
        else:
            model.graph.initializer.append(numpy_helper.from_array(np.array([size], np.int64), part))
    yield helper.make_node("Concat", parts, [name], name, axis=0)


def size_nodes(model: onnx.ModelProto, source: str, axis: int, name: str) -> Iterator[onnx.NodeProto]:
    """Yield nodes that make the size of an axis, int64 `[1]`. Shape has no start and end before operator set 15.

    Args:
        model: The model, which gets an initializer.
        source: The value with the axis.
        axis: The axis.
        name: The name of the size.
    """
    model.graph.initializer.append(numpy_helper.from_array(np.array([axis], np.int64), f"{name}/axis"))
    yield helper.make_node("Shape", [source], [f"{name}/shape"], f"{name}/shape")
    yield helper.make_node("Gather", [f"{name}/shape", f"{name}/axis"], [name], name, axis=0)
