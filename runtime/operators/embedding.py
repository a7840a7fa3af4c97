"""Embedding: a row of a table for each id."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..arrays import Array, Floats
from ..errors import ChunkError
from .base import Operator, Record, State
from .matrix import Matrix, row
from .numbers.functions import without_tiny

MAX_ROWS = 2**24  # ids reach the engine as floats, which are exact up to here


@dataclass(frozen=True, eq=False)
class Embedding(Operator):
    """Row `id` of a table: int8 codes times the row's scale, or float32 `[rows, width]` as it is."""

    table: Matrix | Floats

    @property
    def rows(self) -> int:
        """How many ids there are."""
        return int(self._array.shape[0])

    @property
    def _array(self) -> Array:
        return self.table.codes if isinstance(self.table, Matrix) else self.table

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002  its own columns
        """The table's columns."""
        return int(self._array.shape[1])

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """The row; x is one id, whole and at least 0."""
        number = float(x[0][0])
        if not (0 <= number < self.rows and number.is_integer()):
            raise ChunkError(f"id {number} is not in the table of {self.rows} rows; chunk refused, state unchanged")
        index = int(number)
        found = row(self.table, index) if isinstance(self.table, Matrix) else self.table[index]
        return without_tiny(found), state

    def record(self) -> Record:
        """Function 1 and a matrix, or function 2 and a vector; the counts are rows and columns."""
        counts = (self.rows, self.width(()))
        if isinstance(self.table, Matrix):
            return Record(1, counts, matrices=(self.table,))
        return Record(2, counts, vectors=(self.table,))
