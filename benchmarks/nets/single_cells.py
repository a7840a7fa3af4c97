"""One layer of each recurrent cell as a plan, with random int8 weights. `bounds --cells` times a step of each."""

from dataclasses import dataclass

import numpy as np

from ...runtime.cells import GRU, LSTM, RNN
from ...runtime.contract import Contract, Port, State
from ...runtime.plan.writer import compile_program
from ...runtime.program import Cell, Gru, Lstm, Matrix, Program, Reading, Rnn, Slot, activation_bits

CELLS = {"LSTM": LSTM, "GRU": GRU, "RNN tanh": RNN, "RNN relu": RNN}
SIZES = {"A": (40, 128), "B": (100, 256)}
_SLOTS = Slot("h", 0), Slot("c", 0)


@dataclass(frozen=True)
class CellCase:
    """One layer: its cell and its size.

    Attributes:
        cell: A key of GATES.
        size: A key of SIZES: the features and units of the LSTM case with the same letter.
    """

    cell: str
    size: str

    @property
    def name(self) -> str:
        """The cell and the size, for example `GRU A`."""
        return f"{self.cell} {self.size}"

    @property
    def macs(self) -> int:
        """The multiply-adds of one step."""
        features, hidden = SIZES[self.size]
        return len(CELLS[self.cell].gates) * hidden * (features + hidden)


CASES = tuple(CellCase(cell, size) for size in SIZES for cell in CELLS)


def plan_of(case: CellCase, bits: int = 16) -> bytes:
    """Return the plan of one layer; `bits` is the largest number of bits of an activation."""
    features, hidden = SIZES[case.size]
    one = layer(case.cell, features, hidden, bits=bits)
    states = tuple(State(slot.name, f"{slot.name}.out", slot.name, (1, "batch", hidden)) for slot in one.slots)
    contract = Contract((Port("x", 0, None),), (Port("y", 0, None),), states)
    return compile_program(Program(features, (one,), (("y", 1),)), contract)


def layer(cell: str, features: int, hidden: int, own: Reading = Reading.FRAME, *, bits: int = 16) -> Cell:
    """Return a layer with random weights.

    Args:
        cell: A key of GATES.
        features: Features of a frame.
        hidden: Units of the layer.
        own: How the layer quantizes its input.
        bits: The largest number of bits of an activation.
    """
    rng = np.random.default_rng(0)
    rows = len(CELLS[cell].gates) * hidden

    def matrix(columns: int, reading: Reading) -> Matrix:
        codes = rng.integers(-127, 128, (rows, columns)).astype(np.int8)
        # Torch's initial weights are uniform within 1 / sqrt(hidden). With them the state of a relu RNN stays small.
        return Matrix(
            codes, np.full((rows, 1), hidden**-0.5 / 127, np.float32), reading, activation_bits(columns, bits)
        )

    w = matrix(features, own)
    r = matrix(hidden, Reading.FRAME if cell == "RNN relu" else Reading.HIDDEN)
    bias = np.zeros(rows, np.float32)
    if cell == "LSTM":
        return Lstm((0,), w, r, bias, *_SLOTS)
    if cell == "GRU":
        return Gru((0,), w, r, bias, np.zeros(hidden, np.float32), _SLOTS[0])
    return Rnn((0,), cell.removeprefix("RNN "), w, r, bias, _SLOTS[0])
