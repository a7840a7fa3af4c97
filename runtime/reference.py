"""The specification of a stream: plain NumPy, no tricks. The engine equals it bit for bit.

What each operator computes stands in its `step`, in `operators/`: int8 matrices in `operators/matrix.py`,
functions of floats in `operators/functions.py`. Frames, states and everything between are float32, each
operation rounded, none fused. Activations become integers frame by frame, so no answer depends on how a
stream is cut.
"""

import numpy as np

from .arrays import Floats
from .errors import ChunkError
from .operators.functions import check_range, sigmoid, tanh
from .operators.matrix import encode
from .program import Program

__all__ = ["ReferenceStream", "encode", "sigmoid", "tanh"]


class ReferenceStream:
    """Runs a program frame by frame, as slowly and plainly as possible."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.reset()

    def reset(self) -> None:
        """Set every state to its start."""
        self._states = [op.initial() for op in self._program.ops]

    def states(self) -> list[Floats]:
        """Return the state vectors in program order, e.g. h and c of each layer."""
        return [vector for state in self._states for vector in state]

    def push(self, chunk: Floats) -> dict[str, Floats]:
        """Stream a chunk `[frames, features]`, at least one frame; ids are whole floats `[frames, 1]`.

        Returns:
            Each output by name: `[frames, width]`, or `[width]` for one without a time axis.

        Raises:
            ChunkError: A value is not finite or leaves 2^64, or an id is not in a table; the state is unchanged.
        """
        check_range(chunk)
        states = self._states
        self._states = list(states)
        try:
            frames = [self._run(frame, last=i + 1 == len(chunk)) for i, frame in enumerate(chunk)]
        except ChunkError:
            self._states = states
            raise
        program = self._program
        return {
            name: np.stack([values[v] for values in frames]) if program.timed(v) else frames[-1][v]
            for name, v in program.outputs
        }

    def _run(self, frame: Floats, *, last: bool) -> list[Floats]:
        """Compute every value of a frame; those with one row a push for the last frame alone."""
        values = [frame]
        for index, op in enumerate(self._program.ops):
            y = np.zeros(0, np.float32)
            if last or self._program.timed(index + 1):
                y, self._states[index] = op.step(self._states[index], *(values[i] for i in op.inputs))
            values.append(y)
        return values
