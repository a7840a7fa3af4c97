"""The arithmetic, specified once: plain NumPy, no tricks. Every kernel equals it bit for bit.

Frames, states and everything between are float32, each operation rounded, none fused. Weights are int8
with one float32 scale a row; activations become integers frame by frame, so no answer depends on how a
stream is cut. Integer sums are exact.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .arrays import Floats
from .errors import ChunkError
from .program import Cell, Elementwise, Gru, Last, Linear, Lstm, Matrix, Op, Program, Reading, Rnn

Codes = npt.NDArray[np.int64]

TINY = np.float32(2.0**-60)  # smaller magnitudes become +0: no subnormals in a decaying state
LARGEST = np.float32(2.0**64)  # larger magnitudes are refused like infinities
SILENT = np.float32(2.0**-64)  # a frame below is a frame of zeros

# tanh(x) = u P(u^2) / Q(u^2) with u = TANH_UNIT x and monic P, Q of degree 4: a least-maximum fit on [-9, 9],
# rescaled so that both leading coefficients are 1; within 3.7e-7, and exactly 1 from 9 on.
TANH_UNIT = np.float32(float.fromhex("0x1.195c8p-6"))
TANH_LIMIT = np.float32(float.fromhex("0x1.3c881p-3"))
TANH_P = [np.float32(float.fromhex(h)) for h in ("0x1.3015f6p-21", "0x1.0d7ae2p-12", "0x1.74fb6ep-6", "0x1.d20864p-2")]
TANH_Q = [np.float32(float.fromhex(h)) for h in ("0x1.4e35fap-27", "0x1.027eaep-16", "0x1.7b543ep-9", "0x1.fe5dd4p-4")]


def tanh(x: Floats) -> Floats:
    """Return the hyperbolic tangent as the engine computes it; float32 in and out, within [-1, 1]."""
    u = np.clip(x * TANH_UNIT, -TANH_LIMIT, TANH_LIMIT)
    s = u * u
    p = (((s + TANH_P[3]) * s + TANH_P[2]) * s + TANH_P[1]) * s + TANH_P[0]
    q = (((s + TANH_Q[3]) * s + TANH_Q[2]) * s + TANH_Q[1]) * s + TANH_Q[0]
    y: Floats = np.clip(u * p / q, np.float32(-1), np.float32(1))
    return y


def sigmoid(x: Floats) -> Floats:
    """Return 0.5 tanh(0.5 x) + 0.5."""
    half = np.float32(0.5)
    return half * tanh(half * x) + half


def without_tiny(x: Floats) -> Floats:
    """Return x with magnitudes below 2^-60 replaced by +0."""
    return np.where(np.abs(x) >= TINY, x, np.float32(0))


def encode(matrix: Matrix, x: Floats) -> tuple[Codes, np.float32]:
    """Turn one frame into integers for a matrix.

    Args:
        matrix: The matrix that will read it; its `reading` and `bits` decide.
        x: One frame, float32 `[columns]`.

    Returns:
        The codes `[columns]`, within +-q for q = 2^(bits-1) - 1, and the value of one code.
    """
    q = np.float32(2 ** (matrix.bits - 1) - 1)
    if matrix.reading is Reading.HIDDEN:
        return np.rint(np.clip(x * q, -q, q)).astype(np.int64), np.float32(1) / q
    largest = np.max(np.abs(x))
    if largest < SILENT:
        return np.zeros(x.shape, np.int64), np.float32(0)
    scale = largest / q
    return np.rint(x / scale).astype(np.int64), scale


def products(matrix: Matrix, codes: Codes) -> Floats:
    """Return the exact int32 sums W . codes, rounded once to float32; `[rows]`."""
    sums = matrix.codes.astype(np.int64) @ codes
    if np.any(np.abs(sums) > 2**31 - 1):
        raise AssertionError(f"int32 overflow: {matrix.codes.shape[1]} columns at {matrix.bits} bits")
    return sums.astype(np.float32)


def affine(matrix: Matrix, bias: Floats, x: Floats) -> Floats:
    """Return W x + b for one frame: `[columns]` -> `[rows]`."""
    codes, scale = encode(matrix, x)
    return products(matrix, codes) * (scale * matrix.scales) + bias


def recurrent(matrix: Matrix, h: Floats) -> Floats:
    """Return R h for the state before a step: `[hidden]` -> `[rows]`."""
    codes, scale = encode(matrix, h)
    return products(matrix, codes) * (scale * matrix.scales)


def lstm_step(op: Lstm, x: Floats, h: Floats, c: Floats) -> tuple[Floats, Floats]:
    """One step of an LSTM, the equations of the ONNX operator (gate order i, o, f, c).

    Args:
        op: The layer.
        x: Input frame `[features]`.
        h: Hidden state `[hidden]`.
        c: Cell state `[hidden]`.

    Returns:
        The new h and c.
    """
    gates = affine(op.w, op.bias, x) + recurrent(op.r, h)
    i, o, f, g = np.split(gates, 4)
    input_gate = sigmoid(i)
    output_gate = sigmoid(o)
    forget_gate = sigmoid(f)
    candidate = tanh(g)
    cell = without_tiny(forget_gate * c + input_gate * candidate)
    hidden = output_gate * tanh(cell)
    return hidden, cell


def gru_step(op: Gru, x: Floats, h: Floats) -> tuple[Floats]:
    """One step of a GRU, the equations of the ONNX operator with linear_before_reset (gate order z, r, n)."""
    z_x, r_x, n_x = np.split(affine(op.w, op.bias, x), 3)
    z_h, r_h, n_h = np.split(recurrent(op.r, h), 3)
    update = sigmoid(z_x + z_h)
    reset = sigmoid(r_x + r_h)
    candidate = tanh(n_x + reset * (n_h + op.candidate_bias))
    return (without_tiny((np.float32(1) - update) * candidate + update * h),)


def relu(x: Floats) -> Floats:
    """Return x where it is above 0, else +0."""
    return np.where(x > 0, x, np.float32(0))


def rnn_step(op: Rnn, x: Floats, h: Floats) -> tuple[Floats]:
    """One step of a plain RNN.

    Raises:
        ChunkError: Under relu, which has no bound, h leaves 2^64.
    """
    function = relu if op.function == "relu" else tanh
    return (_check_range(without_tiny(function(affine(op.w, op.bias, x) + recurrent(op.r, h)))),)


def cell_step(op: Cell, x: Floats, states: tuple[Floats, ...]) -> tuple[Floats, ...]:
    """One step of a layer: its state vectors, h first, from those before."""
    match op:
        case Lstm():
            return lstm_step(op, x, *states)
        case Gru():
            return gru_step(op, x, *states)
        case Rnn():
            return rnn_step(op, x, *states)


FUNCTIONS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
}


def elementwise(op: Elementwise, x: Floats) -> Floats:
    """Return x op constant, tiny values flushed before and after."""
    return without_tiny(FUNCTIONS[op.function](without_tiny(x), op.constant))


class ReferenceStream:
    """Runs a program frame by frame, as slowly and plainly as possible."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.reset()

    def reset(self) -> None:
        """Set every state to zeros."""
        self._states = {
            index: tuple(np.zeros(op.hidden, np.float32) for _ in op.slots)
            for index, op in enumerate(self._program.ops)
            if isinstance(op, Cell)
        }

    def states(self) -> list[Floats]:
        """Return the state vectors of each layer in program order."""
        return [vector for vectors in self._states.values() for vector in vectors]

    def push(self, chunk: Floats) -> dict[str, Floats]:
        """Stream a chunk `[frames, features]`, at least one frame.

        Returns:
            Each output by name: `[frames, width]`, or `[width]` for one without a time axis.

        Raises:
            ChunkError: A value is not finite or leaves 2^64; the state is unchanged.
        """
        _check_range(chunk)
        states = self._states
        self._states = dict(states)
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
        values = [frame]
        for index, op in enumerate(self._program.ops):
            x = values[op.inputs[0]]
            values.append(self._apply(index, op, x) if last or self._program.timed(index + 1) else x)
        return values

    def _apply(self, index: int, op: Op, x: Floats) -> Floats:
        match op:
            case Lstm() | Gru() | Rnn():
                self._states[index] = cell_step(op, x, self._states[index])
                return self._states[index][0]
            case Linear():
                return _check_range(affine(op.w, op.bias, x))
            case Elementwise():
                return _check_range(elementwise(op, x))
            case Last():
                return x


def _check_range(x: Floats) -> Floats:
    if not np.all(np.abs(x) <= LARGEST):
        raise ChunkError("a value is not finite or leaves 2^64; chunk refused, state unchanged")
    return x
