"""Rows of a source become frames of a model: channels are picked, rates converted, rows joined to frames."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..arrays import Floats
from ..errors import BackendError, ChunkError
from ..streams import Model
from .sources.source import Block

FAR = 2**20  # rows: 22 seconds at 48 kHz


@dataclass(frozen=True)
class Framing:
    """How rows become frames.

    Attributes:
        values: Values of a row.
        rows: Rows of a frame: 1, or the hop of a model whose frames are samples.
        rate: Rows per second that the model takes; None: the contract does not say.
    """

    values: int
    rows: int
    rate: float | None


def framing_of(model: Model, values: int, name: str) -> Framing:
    """Return how rows of so many values become the frames of a model.

    Raises:
        ChunkError: The frames of the model are not made of such rows.
    """
    contract, features = model.contract, prod(model.frame_shape)
    if not model.frame_shape:
        raise ChunkError(f"{name}: the model reads token ids, and a live source gives numbers; use `tidegate run`")
    hop, rate = contract.hop or 1, contract.sample_rate
    if values == features or not features:
        return Framing(values, 1, None if rate is None else rate / hop)
    if values * hop == features:
        return Framing(values, hop, rate)
    frames = f"{features} features" + (f", one every {hop} samples" if hop > 1 else "")
    raise ChunkError(
        f"{name}: has {values} values in a row, the model takes frames of {features}: give rows of {frames}; or pick "
        "channels; or export the model with its front end inside, so that it takes samples"
    )


def picked(rows: Floats, channels: Sequence[int], name: str) -> Floats:
    """Return the chosen channels of rows; none chosen: all.

    Raises:
        ChunkError: There is no such channel.
    """
    if not channels:
        return rows
    if max(channels) >= rows.shape[1]:
        raise ChunkError(f"{name}: has {rows.shape[1]} channels, counted from 0; there is no channel {max(channels)}")
    return rows[:, list(channels)]


class InOrder:
    """Gives each row once and in order: rows that came before are left out and counted.

    A block far ahead of the others is left out too, unless the next one follows it: a single number that is wrong, or a
    stranger's datagram, must not make all later rows old ones.
    """

    def __init__(self) -> None:
        self.repeated = 0
        self._next = 0
        self._far: int | None = None  # where the block after one far ahead begins

    def take(self, block: Block) -> Block | None:
        """Return the new rows of a block."""
        if block.at - self._next > FAR and block.at != self._far:
            self._far = block.at + len(block.rows)
            self.repeated += len(block.rows)
            return None
        old = min(max(self._next - block.at, 0), len(block.rows))
        self.repeated += old
        if old == len(block.rows):
            return None
        self._next = block.at + len(block.rows)
        return Block(block.at + old, block.rows[old:])


class Resampler:
    """Converts the rate of rows with soxr, block by block. A gap stays a gap, at its place.

    Args:
        source: Rows per second of the source.
        target: Rows per second of the model.
        values: Values of a row.

    Raises:
        BackendError: soxr is not installed.
    """

    def __init__(self, source: float, target: float, values: int) -> None:
        try:
            import soxr
        except ImportError:
            raise BackendError(
                f"the source has {source:g} samples per second, the model takes {target:g}, and soxr, which converts "
                "them, is not installed; pip install 'tidegate[live]'"
            ) from None
        self._open: Callable[[], Any] = lambda: soxr.ResampleStream(source, target, values, dtype="float32")
        self._ratio = target / source
        self._values = values
        self._stream: Any = None
        self._next_in = self._next_out = 0

    def take(self, block: Block) -> Iterator[Block]:
        """Give the rows at the other rate that are ready."""
        if self._stream is None or block.at != self._next_in:
            yield from self.finish()
            self._stream = self._open()
            self._next_out = max(round(block.at * self._ratio), self._next_out)
        self._next_in = block.at + len(block.rows)
        yield from self._ready(block.rows, last=False)

    def finish(self) -> Iterator[Block]:
        """Give the rows that waited for later ones."""
        if self._stream is not None:
            yield from self._ready(np.zeros((0, self._values), np.float32), last=True)
            self._stream = None

    def _ready(self, rows: Floats, *, last: bool) -> Iterator[Block]:
        made = self._stream.resample_chunk(np.ascontiguousarray(rows), last).reshape(-1, self._values)
        if len(made):
            yield Block(self._next_out, made)
            self._next_out += len(made)


class Framer:
    """Joins rows to chunks of whole frames. A frame that lacks a row is lost.

    Args:
        rows: Rows of a frame.
        chunk: Frames of a chunk; the last one before a gap or the end may have fewer.
    """

    def __init__(self, rows: int, chunk: int) -> None:
        self._rows, self._chunk = rows, chunk
        self._first = 0  # the row at which the rows that wait start; a whole number of frames
        self._waiting: list[Floats] = []
        self._count = 0

    def take(self, block: Block) -> Iterator[Block]:
        """Give the chunks that are whole now; `at` counts frames, and frames of several rows are joined to one."""
        rows = block.rows
        if block.at != self._first + self._count:
            yield from self.finish()
            cut = -block.at % self._rows
            rows, self._first = rows[cut:], block.at + cut
        self._waiting.append(rows)
        self._count += len(rows)
        if self._count >= (size := self._rows * self._chunk):
            yield from self._cut(size)

    def finish(self) -> Iterator[Block]:
        """Give the whole frames that wait, and leave the rest out."""
        if frames := self._count // self._rows:
            yield from self._cut(frames * self._rows)
        self._waiting, self._count = [], 0

    def _cut(self, size: int) -> Iterator[Block]:
        rows = np.concatenate(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
        for start in range(0, len(rows) - size + 1, size):
            frames = size // self._rows
            yield Block((self._first + start) // self._rows, rows[start : start + size].reshape(frames, -1))
        done = len(rows) // size * size
        self._first += done
        self._waiting, self._count = [rows[done:]], len(rows) - done
