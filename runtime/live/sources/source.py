"""What a source is: it gives blocks of rows, each with its place in the signal."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ...arrays import Array, Floats
from ...errors import ChunkError


@dataclass(frozen=True)
class Block:
    """Rows that came together. A row is a sample of each channel, or a frame.

    Attributes:
        at: The number of the first row, counted from the start of the source. Rows that were lost count too.
        rows: float32 `[rows, values]`.
    """

    at: int
    rows: Floats


@runtime_checkable
class Source(Protocol):
    """Something that rows come from."""

    name: str
    """What messages call it."""
    rate: float | None
    """Rows per second; None: those of the model."""
    waits: bool
    """Whether it waits for its reader, as a file and a pipe do: then nothing is lost if the reader is late."""
    comes: bool
    """Whether its rows come at their own time, so that another thread must fetch them."""

    def blocks(self, rows: int) -> Iterator[Block]:
        """Give the rows in order.

        Args:
            rows: Rows of a block, where the source can choose.

        Raises:
            ChunkError: What comes is not rows of numbers.
            OSError: The source is gone.
        """

    def close(self) -> None:
        """Let the source go; a thread that waits for its rows wakes up."""


class Arrays:
    """Arrays of rows from an array or an iterator. An iterator may also give `Block`s, which tell of gaps."""

    name = "the arrays"
    waits, comes = True, False

    def __init__(self, arrays: Iterable[Array | Block], rate: float | None = None) -> None:
        self.rate = rate
        self._arrays = [arrays] if isinstance(arrays, np.ndarray) else arrays

    def blocks(self, rows: int) -> Iterator[Block]:
        """Give the rows in order; see `Source.blocks`."""
        at = 0
        for given in self._arrays:
            block = given if isinstance(given, Block) else Block(at, as_rows(given, self.name))
            for start in range(0, len(block.rows), rows):
                yield Block(block.at + start, block.rows[start : start + rows])
            at = block.at + len(block.rows)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


def as_rows(values: Array, name: str) -> Floats:
    """Return numbers as float32 rows `[rows, values]`; `[rows]` become rows of one value.

    Raises:
        ChunkError: They have no axis or are no numbers.
    """
    values = np.asarray(values)
    if not values.ndim or values.dtype.kind not in "iuf":
        raise ChunkError(f"{name}: holds {values.dtype} {values.shape}, wanted numbers (rows, values)")
    with np.errstate(over="ignore"):  # too large a value becomes infinity, which the stream refuses
        return values.reshape(len(values), -1 if values.size else 1).astype(np.float32, copy=False)
