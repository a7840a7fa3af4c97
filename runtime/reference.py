"""The specification of a stream: plain NumPy, no tricks. The engine equals it bit for bit.

Each operator's `step` says what it computes for one frame; `advance` says it for operators that look ahead. Both are in
`operators/`, integer matrices in `operators/matrix.py`, functions of numbers in `operators/numbers/`. Frames, states
and everything between are float32; each operation is rounded and none is fused. Activations become integers frame by
frame, so an answer does not depend on how a stream is cut into chunks.
"""

import numpy as np

from .arrays import Floats
from .operators.base import Rows
from .operators.matrix import encode
from .operators.numbers.functions import check_range, sigmoid, tanh
from .program import Program

__all__ = ["ReferenceStream", "encode", "sigmoid", "tanh"]


class ReferenceStream:
    """Runs a program operation by operation, frame by frame, as slowly and plainly as possible."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.reset()

    def reset(self) -> None:
        """Set every state to its start."""
        self._states = [op.initial() for op in self._program.ops]

    def states(self) -> list[Floats]:
        """Return the state vectors in program order, e.g. h and c of each layer."""
        pairs = zip(self._program.ops, self._states, strict=True)
        return [vector for op, state in pairs for vector in state[: len(op.slots)]]

    def push(self, chunk: Floats) -> dict[str, Floats | None]:
        """Stream a chunk `[frames, features]`, at least one frame; ids are whole floats `[frames, 1]`.

        Returns:
            Each output by name: `[frames, width]`, or for one without a time axis `[width]`, the answer at the last
            frame that became ready, or None where none did.

        Raises:
            ChunkError: A value is not finite or leaves 2^64, or an id is not in a table; the state is unchanged.
        """
        return self._advance(list(check_range(chunk)), closing=False)

    def finish(self) -> dict[str, Floats | None]:
        """Return what the stream holds back, as from `push`.

        Raises:
            ChunkError: A value leaves 2^64; the state is unchanged.
        """
        return self._advance([], closing=True)

    def _advance(self, rows: list[Floats], *, closing: bool) -> dict[str, Floats | None]:
        values: list[Rows] = [rows]
        states = []
        for op, state in zip(self._program.ops, self._states, strict=True):
            made, after = op.advance(state, [values[i] for i in op.inputs], closing=closing)
            values.append(made)
            states.append(after)
        self._states = states
        return {name: self._answer(value, values[value]) for name, value in self._program.outputs}

    def _answer(self, value: int, rows: Rows) -> Floats | None:
        if self._program.timed(value):
            return np.array(rows, np.float32).reshape(len(rows), self._program.widths[value])
        return rows[0] if rows else None
