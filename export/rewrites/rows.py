"""Strides over time: how many rows of the signal lie between two answers of what comes before the recurrent layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

import numpy as np
import onnx

from ...runtime.arrays import Array
from ...runtime.cells import CELLS
from ...runtime.errors import UnsupportedError
from ...runtime.graph.nodes import label
from ..graph.axes import Dims, shape_of, sized_model
from ..graph.editing import input_named
from ..graph.recurrent_nodes import signal_of

STREAMS = 1009  # a prime: no size of a model is likely to be a multiple
LENGTH = 2**9 * 3**3 * 5**2 * 7**2  # rows of a signal that most strides divide


@dataclass(frozen=True)
class Rows:
    """The rows that make a frame.

    Attributes:
        count: Rows of a frame.
        time: The axis of rows in the signal before.
        batch: The axis of streams before.
        values: The sizes of a row: those of the other axes.
        streams: The streams for which the shapes below hold.
        after: Rows of zeros that the signal needs after its own, so that each frame has an answer.
    """

    count: int
    time: int
    batch: int
    values: tuple[int, ...]
    streams: int
    after: int = 0

    @property
    def hop(self) -> int | None:
        """The samples of a frame, if a row is one value; else None."""
        return self.count if prod(self.values) == 1 else None

    def frames(self, signal: Array) -> Array:
        """Return a signal as `[batch, frames, rows, ...]`, or `[batch, frames, hop]`, without incomplete frames."""
        rows = np.moveaxis(signal, (self.batch, self.time), (0, 1))
        whole = rows[:, : rows.shape[1] // self.count * self.count]
        return whole.reshape(len(whole), -1, self.count, *(() if self.hop else self.values))

    def taken(self, frames: Array, after: int | None = None) -> Array:
        """Return frames as the signal before; zeros follow the last one, `after` rows if not those that it needs."""
        rows = frames.reshape(len(frames), -1, *self.values)
        zeros = np.zeros((len(rows), self.after if after is None else after, *self.values), rows.dtype)
        signal = np.moveaxis(np.concatenate([rows, zeros], 1), (0, 1), (self.batch, self.time))
        return np.ascontiguousarray(signal)


def find_rows(model: onnx.ModelProto, source: str, free: Sequence[int], streams: int = STREAMS) -> Rows | None:
    """Return the rows that make a frame; None if no stride over time comes before the recurrent layers.

    Args:
        model: A model with one signal.
        source: Its signal input.
        free: The axes of the signal that may be time and batch.
        streams: The streams of the model, if it fixes their number.

    Raises:
        UnsupportedError: The strides give more answers than frames.
    """
    nodes = [node for node in model.graph.node if node.op_type in CELLS]
    declared = shape_of(input_named(model, source))
    for time in free if len(free) == 2 and nodes else ():
        batch = next(axis for axis in free if axis != time)
        values = tuple(size for axis, size in enumerate(declared) if axis not in free)
        rows = Rows(1, time, batch, known_sizes(values), streams)
        short, long = (shapes_of_rows(model, source, rows, n) for n in (LENGTH, 2 * LENGTH))
        read = {(short.get(signal_of(node), ())[:2], long.get(signal_of(node), ())[:2]) for node in nodes}
        known = (
            len(read) == 1 and all(len(known_sizes(dims)) == 2 for dims in next(iter(read))) and values == rows.values
        )
        if not known or streams not in (STREAMS, declared[batch]):
            continue
        (first, own), (second, _) = map(known_sizes, next(iter(read)))
        step = Fraction(LENGTH, second - first) if second > first else Fraction(1)
        if own == streams and step > 1 and step.denominator == 1:
            return _checked(nodes[0], replace(rows, count=int(step), after=LENGTH - first * int(step)))
    return None


def loses_frames(model: onnx.ModelProto, dims: Mapping[str, Dims]) -> bool:
    """Return whether a recurrent layer runs along no free axis of the signal, as strides over time would have it."""
    read = [dims.get(signal_of(node), (None,)) for node in model.graph.node if node.op_type in CELLS]
    return any(not isinstance(shape[0], str) for shape in read)


def shapes_of_rows(model: onnx.ModelProto, source: str, rows: Rows, length: int) -> dict[str, Dims]:
    """Return the shapes of all values of a model for so many rows of its signal."""
    return sized_model(model, source, {rows.batch: rows.streams, rows.time: length})[1]


def known_sizes(dims: Dims) -> tuple[int, ...]:
    """Return the sizes of a shape that are numbers."""
    return tuple(size for size in dims if isinstance(size, int))


def _checked(node: onnx.NodeProto, rows: Rows) -> Rows:
    if rows.after < 0:
        raise UnsupportedError(
            f"{label(node)}: strides over time make one frame of {rows.count} rows, and {-rows.after // rows.count} "
            "frames more than the signal has; wanted one for each: pad only on the left of each convolution over time"
        )
    return rows
