"""A signal of tidegate's own making: what a model is streamed on if there are no calibration streams."""

import numpy as np
from onnx import TensorProto

from ...runtime.arrays import Array
from ...runtime.contract import Contract
from ...runtime.graph.graph import Graph
from ...runtime.graph.ids import with_ids
from ..file.weights import is_table

LEVELS = (1.0, 0.1, 0.01, 0.001)  # loud and quiet: an amplifier of ours erred by 5 % at 1 and by 95 % at 0.001 (W8A8)
NEIGHBOURS = 8  # frames of white noise in a mean: real signals change slowly
MOST_FRAMES, FEWEST_FRAMES = 2000, 20  # of each level
MOST_PRODUCTS = 2**28  # frames times weights of a level: 0.1 s


def own_signal(graph: Graph) -> dict[str, Array]:
    """Return streams for a graph's first input by a name that says what they are.

    Each is `[frames, features]` of float32, smooth noise of the root mean square in its name; or `[frames]` of random
    ids that every table of the graph has.
    """
    rng, count = np.random.default_rng(0), _frames(graph)
    if reads_ids(graph):
        return {"random ids": rng.integers(0, _ids(graph), count)}
    walk = np.cumsum(rng.standard_normal((count + NEIGHBOURS, *_features(graph))), 0)
    noise = (walk[NEIGHBOURS:] - walk[:-NEIGHBOURS]) / np.sqrt(NEIGHBOURS)
    levels = {f"noise of {level:g}": (level * noise).astype(np.float32) for level in LEVELS}
    source, pieces = graph.contract.inputs[0].name, graph.contract.pieces
    return {name: with_ids(graph, source, pieces, values) for name, values in levels.items()}


def forms_of(noise: Array) -> tuple[Array, Array]:
    """Return noise and its magnitudes: a model that computes logarithms of its input takes only the second."""
    return noise, np.abs(noise)


def own_static(contract: Contract) -> dict[str, Array]:
    """Return noise for the static inputs of a model, as states of a stream."""
    rng = np.random.default_rng(1)
    static = [state for state in contract.states if state.kind == "static"]
    return {state.input: rng.standard_normal(state.concrete_shape()).astype(np.float32) for state in static}


def reads_ids(graph: Graph) -> bool:
    """Return whether the graph's first input is integers."""
    return graph.model.graph.input[0].type.tensor_type.elem_type in (TensorProto.INT32, TensorProto.INT64)


def _features(graph: Graph) -> list[int]:
    """Return the sizes of the axes of one frame."""
    kind, port = graph.model.graph.input[0].type.tensor_type, graph.contract.inputs[0]
    sizes = enumerate(axis.dim_value for axis in kind.shape.dim)
    return [size for axis, size in sizes if axis not in (port.time_axis, port.batch_axis)]


def _ids(graph: Graph) -> int:
    """Return the number of ids that every table has; 1 if the graph has no table."""
    tables = [graph.constant(node.input[0]) for node in graph.nodes if is_table(graph, node)]
    return min((len(table) for table in tables if table is not None), default=1)


def _frames(graph: Graph) -> int:
    """Return the frames of a level: fewer for a large model, and no more than a stream may have."""
    weights = sum(int(np.prod(tensor.dims)) for tensor in graph.model.graph.initializer)
    blocks = graph.contract.blocks
    count = min(MOST_FRAMES, max(MOST_PRODUCTS // max(weights, 1), FEWEST_FRAMES))
    return count if blocks is None or blocks.limit is None else min(count, blocks.limit)
