"""Recurrent layers inside a frame: their batch or their time is folded into it, as with bands of a spectrum."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats
from ..contract import Slot
from .base import Operator, Record, State
from .cells_with_options import record_of_cell
from .recurrent import Cell


@dataclass(frozen=True, eq=False)
class Folded(Operator):
    """A recurrent layer over the steps of several rows of a frame `[steps, rows, features]`.

    All rows have the same weights, and each has a state of its own. If the state is carried, each row goes on with the
    next frame: bands of a spectrum, each a stream of its own. If not, each row starts from zeros in each frame: a layer
    over the bands of one frame. The result is `[steps, rows, units]`.

    Attributes:
        cell: The layer. Its slots hold the states of all rows, one after another; they are not used if nothing is
            carried.
        steps: The steps of a frame.
        rows: The rows of a frame.
        carried: Whether the state is carried from frame to frame.
    """

    cell: Cell
    steps: int
    rows: int
    carried: bool

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The places of the layer's states."""
        return self.cell.slots if self.carried else ()

    def width(self, widths: Sequence[int]) -> int:
        """The answers of all rows at all steps."""
        return self.steps * self.rows * self.cell.width(widths)

    def initial(self) -> State:
        """The initial state of each row."""
        return self._zeros() if self.carried else ()

    def _zeros(self) -> State:
        return tuple(np.tile(vector, self.rows) for vector in self.cell.initial())

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """The steps of the layer, row by row."""
        frame = x[0].reshape(self.steps, self.rows, -1)
        before = [vector.reshape(self.rows, -1) for vector in (state if self.carried else self._zeros())]
        runs = [self._row(frame[:, row], tuple(vector[row] for vector in before)) for row in range(self.rows)]
        after = tuple(np.concatenate(parts) for parts in zip(*(end for _, end in runs), strict=True))
        return np.stack([answers for answers, _ in runs], 1).ravel(), after if self.carried else ()

    def _row(self, frames: Floats, state: State) -> tuple[Floats, State]:
        answers = []
        for x in frames:
            y, state = self.cell.step(state, x)
            answers.append(y)
        return np.stack(answers), state

    def record(self) -> Record:
        """The record of the layer, with the number of its cell, steps, rows, and whether the state is carried."""
        return record_of_cell(self.cell, self.steps, self.rows, int(self.carried))
