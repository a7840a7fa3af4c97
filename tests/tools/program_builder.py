"""A random program under construction, operator by operator."""

from collections.abc import Mapping

import numpy as np
from hypothesis import strategies as st
from tidegate.runtime.arrays import Floats
from tidegate.runtime.clocks import Clock
from tidegate.runtime.contract import Blocks
from tidegate.runtime.operators import Align, Backward, Operator, is_hidden
from tidegate.runtime.program import Reading
from tools.random_layers import by_constants

WIDTHS = st.one_of(st.integers(1, 20), st.sampled_from([31, 32, 33, 63, 64, 65, 100]))


def bounded(op: Operator) -> bool:
    """Whether the output of an operator is an h within (-1, 1)."""
    return is_hidden(op.cell if isinstance(op, Backward) else op)


GRIDS = st.one_of(
    st.builds(Blocks, st.integers(1, 40), st.integers(0, 40)), st.builds(Blocks, st.none(), st.just(0), st.just(64))
)


class Builder:
    """A random program under construction: each operator reads an earlier value, most often the newest one."""

    def __init__(self, draw: st.DrawFn, width: int, *, ids: bool = False) -> None:
        self.least = int(ids)  # the first value that most operators may read
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.most_bits = draw(st.sampled_from([16, 8]))
        self.weights = draw(
            st.sampled_from([(8, 0), None])
        )  # int8 with per-channel scales, or any format for each matrix
        self.constants_too = draw(st.booleans())  # some matrices quantize their input by a constant
        self.ops: list[Operator] = []
        self.widths = [width]
        self.clocks = [Clock()]
        self.blocks = draw(GRIDS)

    def emit(self, op: Operator) -> int:
        """Append an operator and return the number of its value."""
        self.ops.append(by_constants(self.rng, op) if self.constants_too else op)
        self.widths.append(op.width(self.widths))
        self.clocks.append(op.clock(self.clocks))
        return len(self.ops)

    def together(self, first: int, second: int) -> tuple[int, int]:
        """Return two values whose frames come together.

        If one comes later, an Align delays the other. If neither can wait for the other, the first is returned twice.
        """
        clocks = self.clocks[first], self.clocks[second]
        if clocks[0] == clocks[1]:
            return first, second
        if clocks[0].leads(clocks[1]):
            return self.emit(Align((second, first))), second
        if clocks[1].leads(clocks[0]):
            return first, self.emit(Align((first, second)))
        return first, first

    def pick(self) -> int:
        """Draw the number of a value to read."""
        newest = len(self.ops)
        return self.draw(st.one_of(st.just(newest), st.integers(self.least, newest)))

    def part(self, value: int) -> int:
        """Draw the features of a part of a value; 0: all."""
        width = self.widths[value]
        return self.draw(st.sampled_from([0, *(n for n in range(1, width + 1) if width % n == 0)]))

    def reading(self, value: int) -> Reading:
        """Return how a matrix quantizes a value."""
        return Reading.HIDDEN if value and bounded(self.ops[value - 1]) else Reading.FRAME

    def one_of(self, functions: Mapping[str, object]) -> str:
        """Draw the name of a function."""
        return self.draw(st.sampled_from(list(functions)))

    def constants(self, width: int) -> Floats:
        """Return constants in [0.1, 3)."""
        return self.rng.uniform(0.1, 3, width).astype(np.float32)
