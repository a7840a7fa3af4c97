"""A program: the few operations that a streaming model comes down to, between ONNX and a compiled plan.

Operation k reads earlier values and makes value k + 1; value 0 is the input frame.
"""

from dataclasses import dataclass

from .clocks import Clock
from .contract import Blocks
from .operators import Cell, Elementwise, Gru, Last, Linear, Lstm, Rnn, Slot, is_hidden
from .operators import Operator as Op
from .operators.matrix import Matrix, Reading, activation_bits

__all__ = [
    "Cell",
    "Elementwise",
    "Gru",
    "Last",
    "Linear",
    "Lstm",
    "Matrix",
    "Op",
    "Program",
    "Reading",
    "Rnn",
    "Slot",
    "activation_bits",
    "is_hidden",
]


@dataclass(frozen=True, eq=False)
class Program:
    """Operations over frames of `input_width` features, or of one id each; outputs are `(name, value)`.

    `blocks` is the grid of backward cells; `nodes` names for each operation the first output of the node that it comes
    from, for messages and metadata, and is empty where no file was read.
    """

    input_width: int
    ops: tuple[Op, ...]
    outputs: tuple[tuple[str, int], ...]
    ids: bool = False
    blocks: Blocks | None = None
    nodes: tuple[str, ...] = ()

    @property
    def widths(self) -> list[int]:
        """Features of each value."""
        widths = [self.input_width]
        for op in self.ops:
            widths.append(op.width(widths))
        return widths

    @property
    def clocks(self) -> list[Clock]:
        """When the rows of each value come."""
        clocks = [Clock()]
        for op in self.ops:
            clocks.append(op.clock(clocks))
        return clocks

    def timed(self, value: int) -> bool:
        """Return whether a value has a row for each frame."""
        while value:
            op = self.ops[value - 1]
            if isinstance(op, Last):
                return False
            value = op.inputs[0]
        return True

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The state vectors in the engine's order: those of each operation in turn, e.g. h and c."""
        return tuple(slot for op in self.ops for slot in op.slots)
