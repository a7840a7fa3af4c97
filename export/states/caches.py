"""Caches of a foreign file: inputs with the frames that come before those of the signal, returned for the next run.

A file for one frame per run hands a convolution its last frames: Concat(cache, x) along time, and the last frames of
the result are the next cache. The values are followed by their numbers, as those of recurrent states; so all caches may
be packed in one tensor. In place of a cache zeros are put before the signal; from there a causal convolution is as in a
file of whole signals, and its tail becomes a state.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from ...runtime.arrays import Array
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.axes import Dims
from ..graph.editing import add_constant, set_nodes
from .routes import OTHER, came_from, holders


@dataclass(frozen=True)
class Cache:
    """Frames of a state input that a Concat puts before those of the signal.

    Attributes:
        joined: The frames together.
        signal: Those of the signal.
        name: The state input.
        numbers: The numbers of its values, as `routes.number_inputs` gives them.
        axis: The axis of the frames.
        rank: The number of axes.
        frames: The frames of the cache.
        nexts: The values that hold next values of the cache, with the numbers of these.
    """

    joined: str
    signal: str
    name: str
    numbers: tuple[int, ...]
    axis: int
    rank: int
    frames: int
    nexts: Mapping[str, Array]


def find_caches(model: onnx.ModelProto, numbers: Mapping[str, Array], shapes: Mapping[str, Dims]) -> list[Cache]:
    """Return all that may be caches: what is read in front of other values. An output must return their next values.

    Args:
        model: The model, for one frame of one stream, or as many as it fixes.
        numbers: The numbers of its inputs.
        shapes: The shapes of its values.
    """
    graph = Graph(model)
    joins = [node for node in graph.nodes if node.op_type == "Concat" and len(node.input) == 2]
    return list(_found(model, joins, numbers, shapes))


def _found(
    model: onnx.ModelProto, joins: Sequence[onnx.NodeProto], numbers: Mapping[str, Array], shapes: Mapping[str, Dims]
) -> Iterator[Cache]:
    for node in joins:
        (before, signal), dims = node.input, shapes.get(node.input[1], (None,))
        sizes = [size for size in dims if isinstance(size, int)]
        taken = came_from(model, before, numbers, shapes)
        names = [] if taken is None else holders(taken, numbers)
        if taken is not None and len(names) == 1 and len(sizes) == len(dims) == taken.ndim:
            axis = int(attributes(node)["axis"]) % taken.ndim
            own = tuple(taken.ravel().astype(int).tolist())
            nexts = _nexts(node.output[0], signal, taken, axis, sizes[axis])
            yield Cache(node.output[0], signal, names[0], own, axis, taken.ndim, taken.shape[axis], nexts)


def _nexts(joined: str, signal: str, taken: Array, axis: int, frames: int) -> dict[str, Array]:
    """Return the numbers of the cache that each frame is the next value of: of the joined frames, and of the signal."""
    fresh = np.full([frames if i == axis else size for i, size in enumerate(taken.shape)], OTHER)
    values = np.concatenate([fresh, taken], axis)
    return {joined: values, signal: np.split(values, [taken.shape[axis]], axis)[1]}


def put_zeros(model: onnx.ModelProto, caches: Sequence[Cache]) -> None:
    """Put zeros in the place of caches, in place."""
    known = {cache.joined: cache for cache in caches}
    nodes = []
    for node in list(model.graph.node):
        cache = known.get(node.output[0])
        nodes.append(node if cache is None else _pad(model, cache, node.name))
    set_nodes(model, nodes)


def _pad(model: onnx.ModelProto, cache: Cache, name: str) -> onnx.NodeProto:
    pads = np.zeros((2, cache.rank), np.int64)
    pads[0, cache.axis] = cache.frames
    sizes = add_constant(model, f"{cache.joined}/pads", pads.ravel())
    return helper.make_node("Pad", [cache.signal, sizes], [cache.joined], name)
