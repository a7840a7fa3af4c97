"""The specification of a stream in plain NumPy. The engine gives the same bits.

Each operator's `step` says what it computes for one frame; `advance` says it for operators that look ahead. Both are in
`operators/`, integer matrices in `operators/matrix.py`, functions of numbers in `operators/numbers/`. Frames, states
and everything between are float32; each operation is rounded and none is fused. Activations become integers frame by
frame, so an answer does not depend on how a stream is cut into chunks.
"""

import numpy as np

from .arrays import Floats
from .operators import LastCell
from .operators.base import Frames, State
from .operators.matrix import encode
from .operators.numbers.functions import check_range, sigmoid, tanh
from .program import Program

__all__ = ["ReferenceStream", "encode", "sigmoid", "tanh"]


class ReferenceStream:
    """A stream that runs a program operation by operation and frame by frame, as plainly as possible."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.reset()

    def reset(self) -> None:
        """Set every state to its initial value."""
        self._states = self._program.initial()

    def states(self) -> list[Floats]:
        """Return the state vectors in program order, e.g. h and c of each layer."""
        pairs = zip(self._program.ops, self._states, strict=True)
        return [vector for op, state in pairs for vector in state[: len(op.slots)]]

    def push(self, chunk: Floats) -> dict[str, Floats | None]:
        """Stream a chunk `[frames, features]`, at least one frame; ids are whole floats `[frames, 1]`.

        Returns:
            Each output by name: `[frames, width]`. An output without a time axis gives `[width]`, its answer for the
            last frame that became ready, or None if no frame did. Answers with several axes have them here too.

        Raises:
            ChunkError: A value is not finite or leaves 2^64, or an id is not in a table; the state is unchanged.
        """
        return self._advance(list(check_range(chunk)), closing=False)

    def finish(self) -> dict[str, Floats | None]:
        """End the stream and return the answers that were still waiting, in the form of `push`.

        Raises:
            ChunkError: A value leaves 2^64; the state is unchanged.
        """
        return self._advance([], closing=True)

    def _advance(self, frames: list[Floats], *, closing: bool) -> dict[str, Floats | None]:
        values: list[Frames] = [frames]
        states: list[State] = []
        for op, state in zip(self._program.ops, self._states, strict=True):
            before = states[op.inputs[0] - 1] if isinstance(op, LastCell) else state
            made, after = op.advance(before, [values[i] for i in op.inputs], closing=closing)
            values.append(made)
            states.append(after)
        self._states = states
        return {name: self._answer(name, value, values[value]) for name, value in self._program.outputs}

    def _answer(self, name: str, value: int, frames: Frames) -> Floats | None:
        shape = self._program.shape_of(name)
        if self._program.timed(value):
            return np.array(frames, np.float32).reshape(len(frames), *shape)
        return frames[0].reshape(shape) if frames else None
