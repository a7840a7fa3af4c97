"""A program: the operations of a streaming model, between the ONNX graph and the compiled plan.

Operation k reads earlier values and makes value k + 1; value 0 is the input.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .clocks import Clock
from .contract import Blocks
from .operators import Cell, Elementwise, Gru, Last, LastCell, Linear, Lstm, Rnn, Slot, is_hidden
from .operators import Operator as Op
from .operators.base import State
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
    """The operations of a model and its outputs.

    Attributes:
        input_width: Features of an input frame; 1 for ids.
        ops: The operations in their order.
        outputs: `(name, value)` of each output.
        ids: Whether the input is ids.
        blocks: The grid of backward cells, if there are any.
        nodes: For each operation the first output of its node in the file, for messages and metadata; empty if the
            program does not come from a file.
        starts: The state vectors that a stream does not start from zeros: float32, magnitudes 2^-60 to 2^64 or 0.
        shapes: The shape of one answer of each output whose answers do not have exactly one axis, by name.
        frame: The shape of an input frame if it has several axes; else empty.
    """

    input_width: int
    ops: tuple[Op, ...]
    outputs: tuple[tuple[str, int], ...]
    ids: bool = False
    blocks: Blocks | None = None
    nodes: tuple[str, ...] = ()
    starts: Mapping[Slot, NDArray[np.float32]] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    frame: tuple[int, ...] = ()

    @cached_property
    def widths(self) -> list[int]:
        """The number of features of each value."""
        widths = [self.input_width]
        for op in self.ops:
            widths.append(op.width(widths))
        return widths

    @cached_property
    def clocks(self) -> list[Clock]:
        """The clock of each value: when its frames come."""
        clocks = [Clock()]
        for op in self.ops:
            clocks.append(op.clock(clocks))
        return clocks

    def shape_of(self, output: str) -> tuple[int, ...]:
        """Return the shape of one answer of an output: `[width]`, or with several axes as in the file."""
        return self.shapes.get(output, (self.widths[dict(self.outputs)[output]],))

    def timed(self, value: int) -> bool:
        """Return whether a value has a time axis: one frame for each frame of the input."""
        while value:
            op = self.ops[value - 1]
            if isinstance(op, Last | LastCell):
                return False
            value = op.inputs[0]
        return True

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The places of the state vectors in the engine's order: first those of the first operation, e.g. h and c."""
        return tuple(slot for op in self.ops for slot in op.slots)

    def initial(self) -> list[State]:
        """Return the state of each operation at the start of a stream."""
        return [self._initial(op) for op in self.ops]

    def _initial(self, op: Op) -> State:
        zeros = op.initial()
        own = [
            np.reshape(self.starts.get(slot, vector), vector.shape)
            for slot, vector in zip(op.slots, zeros, strict=False)
        ]
        return (*own, *zeros[len(own) :])
