"""Embedding: each id selects a row of a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..arrays import Array, Floats
from ..errors import ChunkError
from .base import Operator, Record, State
from .matrix import Matrix, row
from .numbers.functions import without_tiny

MAX_ROWS = 2**24  # ids reach the engine as float32, which holds whole numbers exactly up to here


@dataclass(frozen=True, eq=False)
class Embedding(Operator):
    """Row `id` of a table `[rows, width]`: codes times their scales, or float32 values as they are.

    Attributes:
        table: The table.
        feature: The feature of a frame of the input that holds the id; 0 if the input is ids.
    """

    table: Matrix | Floats
    feature: int = 0

    @property
    def rows(self) -> int:
        """The number of ids."""
        return int(self._array.shape[0])

    @property
    def _array(self) -> Array:
        return self.table.codes if isinstance(self.table, Matrix) else self.table

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """The number of columns of the table."""
        return int(self._array.shape[1])

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """The row of one id; the id is a whole number from 0 to rows - 1."""
        number = float(x[0][self.feature])
        if not (0 <= number < self.rows and number.is_integer()):
            raise ChunkError(f"id {number} is not in the table of {self.rows} rows; chunk refused, state unchanged")
        index = int(number)
        found = row(self.table, index) if isinstance(self.table, Matrix) else self.table[index]
        return without_tiny(found), state

    def record(self) -> Record:
        """Function 1 with a matrix, or function 2 with a vector; the counts are rows, columns and the feature."""
        counts = (self.rows, self.width(()), self.feature)
        if isinstance(self.table, Matrix):
            return Record(1, counts, matrices=(self.table,))
        return Record(2, counts, vectors=(self.table,))
