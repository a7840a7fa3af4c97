"""Signals for a proof: new data like an example, and the chunks to cut it into."""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx

from ...runtime.arrays import Array
from ...runtime.contract import Contract, Piece, Port
from ...runtime.errors import ChunkError, ExportError
from ...runtime.graph.graph import Graph
from ...runtime.graph.ids import with_ids
from ..graph.editing import input_named

SEED = 20  # of data and random chunkings: a proof is the same in every run
CUT_SHARES = (0.1, 0.3, 0.5, 0.7)  # for each random chunking, the share of frames after which it cuts


class FreshData:
    """Random signals of any length and batch, in the range and scale of an example.

    Args:
        example: The example.
        port: The input of the graph.
        ids: The features that hold ids: they get ids of the example.

    Attributes:
        length: Frames of the example.
        batch: Streams of the example; None if it has no batch axis.
    """

    def __init__(self, example: Array, port: Port, ids: Sequence[int] = ()) -> None:
        self._example, self._port, self._ids = example, port, ids
        self._random = np.random.default_rng(SEED)
        self.length = example.shape[time_axis(port)]
        self.batch = None if port.batch_axis is None else example.shape[port.batch_axis]

    def __call__(self, length: int, batch: int | None) -> Array:
        """Return a new signal of `length` frames and `batch` streams, with the example's axes and dtype."""
        shape = list(self._example.shape)
        shape[time_axis(self._port)] = length
        if self._port.batch_axis is not None and batch is not None:
            shape[self._port.batch_axis] = batch
        if self._example.dtype.kind == "i":
            ids: Array = self._random.choice(np.unique(self._example), shape)
            return ids
        return self._noise(shape)

    def _noise(self, shape: Sequence[int]) -> Array:
        """Return noise with the mean and deviation of each feature, clipped to the example's range."""
        axes = tuple(a for a in (self._port.time_axis, self._port.batch_axis) if a is not None)
        mean = self._example.mean(axes, keepdims=True)
        deviation = self._example.std(axes, keepdims=True)
        deviation = np.where(deviation > 0, deviation, self._example.std() or 1.0)
        noise = mean + deviation * self._random.standard_normal(shape)
        low, high = self._example.min(), self._example.max()
        ranged: Array = np.clip(noise, low, high) if low < high else noise
        for feature in self._ids:
            ranged[..., feature] = self._random.choice(np.unique(self._example[..., feature]), ranged.shape[:-1])
        return ranged.astype(np.float32)


def noise(model: onnx.ModelProto, port: Port, frames: int, streams: int, pieces: Sequence[Piece] = ()) -> Array:
    """Return a signal for a model: float32 noise of variance 1, or ids that all its tables have; `pieces` have both."""
    item = input_named(model, port.name)
    sizes = {port.time_axis: frames, port.batch_axis: streams}
    shape = [sizes.get(axis, dim.dim_value) for axis, dim in enumerate(item.type.tensor_type.shape.dim)]
    random, kind = np.random.default_rng(SEED), item.type.tensor_type.elem_type
    if kind == onnx.TensorProto.FLOAT:
        return with_ids(Graph(model), port.name, pieces, random.standard_normal(shape).astype(np.float32))
    return random.integers(0, _ids(Graph(model)), shape).astype(onnx.helper.tensor_dtype_to_np_dtype(kind))


def static_noise(contract: Contract) -> dict[str, Array]:
    """Return float32 noise of variance 1 for the static inputs of a model, as states of one stream."""
    random = np.random.default_rng(SEED)
    static = [state for state in contract.states if state.kind == "static"]
    return {state.input: random.standard_normal(state.concrete_shape()).astype(np.float32) for state in static}


def _ids(graph: Graph) -> int:
    """Return the number of ids that all tables of a graph have; 2 if it has no table."""
    tables = [graph.constant(node.input[0]) for node in graph.nodes if node.op_type == "Gather"]
    return min((len(table) for table in tables if table is not None and table.ndim == 2), default=2)


def as_signal(data: Array) -> Array:
    """Return a caller's signal as models take it: ids unchanged, features as float32.

    Raises:
        ChunkError: It does not hold real numbers.
    """
    values = np.asarray(data)
    if values.dtype.kind not in "fiub":
        raise ChunkError(f"data holds {values.dtype}, wanted float32 [frames, features], or token ids [frames]")
    return values if values.ndim == 1 and values.dtype.kind in "iu" else values.astype(np.float32)


def batched(signal: Array, port: Port) -> Array:
    """Return a signal `[frames, ...]` as one stream with the axes of a graph input."""
    frames = np.moveaxis(signal, 0, time_axis_of_one(port))
    return frames if port.batch_axis is None else np.expand_dims(frames, port.batch_axis)


def time_axis(port: Port) -> int:
    """Return the time axis of a signal input.

    Raises:
        ExportError: The input has none.
    """
    if port.time_axis is None:
        raise ExportError(f"input {port.name!r} has no time axis, wanted one")
    return port.time_axis


def time_axis_of_one(port: Port) -> int:
    """Return the time axis of one stream of a signal, without the batch axis."""
    time = time_axis(port)
    return time - (port.batch_axis is not None and port.batch_axis < time)


def cut(x: Array, axis: int, start: int, end: int) -> Array:
    """Return a copy of the frames from `start` up to `end`, without `end`, along an axis."""
    return np.ascontiguousarray(np.take(x, range(start, end), axis))


def chunkings(length: int) -> Iterator[list[int]]:
    """Yield chunk sizes for a signal: frame by frame, then cuts at random places."""
    yield [1] * length
    random = np.random.default_rng(SEED)
    for share in CUT_SHARES:
        cuts = [i for i in range(1, length) if random.random() < share]
        yield np.diff([0, *cuts, length]).tolist()
