"""Operators with weights, run again on observed values: the inputs of their matrices, and gradients.

Arrays are `[frames, segments, width]`. Gradients come by backpropagation through time (Werbos, 1990) within a segment.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.operators import Gru, Linear, Lstm, LstmProjected, Operator, Rnn

Starts = tuple[Floats, ...]


@dataclass(frozen=True)
class Replay:
    """An operator, run again on segments.

    Attributes:
        reads: The input of each matrix, by the operator's field.
        back: A function from the gradient of the output to the gradient of the input, and the gradients of the
            operator's sums in the order of `sums_of`.
        places: For a layer that runs in another order: the place among all frames of each of its frames, -1 for none.
            None: the frames are in order.
    """

    reads: dict[str, Floats]
    back: Callable[[Floats], tuple[Floats, list[Floats]]]
    places: Array | None = None

    def counted(self, frames: Array) -> Array:
        """Return which of its frames count, for those of all frames `[frames, segments]` that count."""
        if self.places is None:
            return frames
        counts: Array = (self.places >= 0) & frames.ravel()[self.places]
        return counts


def replay(op: Operator, x: Floats, y: Floats, starts: Starts) -> Replay:
    """Run an operator with weights again.

    Args:
        op: An operator with sums (`sums_of`). Its matrices are float.
        x: Its input.
        y: Its output.
        starts: Its states before the first frame, each `[segments, width]`.
    """
    if isinstance(op, Linear):
        weights = op.w.codes
        return Replay({"w": x}, lambda grad: (grad @ weights, [grad]))
    before = np.concatenate([starts[0][None], y[:-1]])
    return CELLS[type(op)](op, x, before, y, starts)


def _sigmoid(x: Floats) -> Floats:
    y: Floats = 0.5 * np.tanh(0.5 * x) + 0.5
    return y


def lstm_cells(op: Lstm | LstmProjected, x: Floats, before: Floats, start: Floats) -> tuple[Floats, ...]:
    """Return the gates i, o, f and the candidate of an LSTM, and c after each frame.

    Args:
        op: The layer. Its matrices are float.
        x: Its input.
        before: h before each frame.
        start: c before the first frame, `[segments, width]`.
    """
    sums = x @ op.w.codes.T + before @ op.r.codes.T + op.bias
    units = sums.shape[-1] // 4
    i, o, f = (_sigmoid(sums[..., k * units : (k + 1) * units]) for k in range(3))
    candidate = np.tanh(sums[..., 3 * units :])
    added, c = i * candidate, np.empty_like(i)
    cell = start
    for t in range(len(x)):
        cell = f[t] * cell + added[t]
        c[t] = cell
    return i, o, f, candidate, c


def _lstm(op: Lstm | LstmProjected, x: Floats, before: Floats, _: Floats, starts: Starts) -> Replay:
    i, o, f, candidate, c = lstm_cells(op, x, before, starts[1])
    bounded = np.tanh(c)
    c_before = np.concatenate([starts[1][None], c[:-1]])
    factors = (
        candidate * i * (1 - i),
        bounded * o * (1 - o),
        c_before * f * (1 - f),
        i * (1 - candidate * candidate),
        o * (1 - bounded * bounded),
    )
    reads = {"w": x, "r": before}
    if isinstance(op, LstmProjected):
        reads["p"] = o * bounded

    def back(grad: Floats) -> tuple[Floats, list[Floats]]:
        into, onto = np.empty((*i.shape[:-1], 4 * i.shape[-1]), np.float32), np.empty_like(grad)
        h, c = np.zeros_like(before[0]), np.zeros_like(starts[1])
        for t in range(len(x) - 1, -1, -1):
            h = h + grad[t]
            onto[t] = h
            m = h @ op.p.codes if isinstance(op, LstmProjected) else h
            c = c + m * factors[4][t]
            parts = [c * factors[0][t], m * factors[1][t], c * factors[2][t], c * factors[3][t]]
            into[t] = np.concatenate(parts, -1)
            c = c * f[t]
            h = into[t] @ op.r.codes
        gates = np.split(into, 4, -1)
        return into @ op.w.codes, [*gates, onto] if isinstance(op, LstmProjected) else gates

    return Replay(reads, back)


def _gru(op: Gru, x: Floats, before: Floats, _: Floats, __: Starts) -> Replay:
    of_x, of_h = x @ op.w.codes.T + op.bias, before @ op.r.codes.T
    units = op.hidden
    update = _sigmoid(of_x[..., :units] + of_h[..., :units])
    reset = _sigmoid((of_x + of_h)[..., units : 2 * units])
    own = of_h[..., 2 * units :] + op.candidate_bias
    candidate = np.tanh(of_x[..., 2 * units :] + reset * own)
    factors = (
        (before - candidate) * update * (1 - update),
        (1 - update) * (1 - candidate * candidate),
        own * reset * (1 - reset),
    )

    def back(grad: Floats) -> tuple[Floats, list[Floats]]:
        into, of_own = np.empty_like(of_x), np.empty_like(own)
        h = np.zeros_like(before[0])
        for t in range(len(x) - 1, -1, -1):
            h = h + grad[t]
            n = h * factors[1][t]
            into[t] = np.concatenate([h * factors[0][t], n * factors[2][t], n], -1)
            of_own[t] = n * reset[t]
            recurrent = np.concatenate([into[t][:, : 2 * units], of_own[t]], -1)
            h = h * update[t] + recurrent @ op.r.codes
        return into @ op.w.codes, [*np.split(into, 3, -1), of_own]

    return Replay({"w": x, "r": before}, back)


def _rnn(op: Rnn, x: Floats, before: Floats, y: Floats, _: Starts) -> Replay:
    slope = 1 - y * y if op.function == "tanh" else (y > 0).astype(np.float32)

    def back(grad: Floats) -> tuple[Floats, list[Floats]]:
        into, h = np.empty_like(grad), np.zeros_like(before[0])
        for t in range(len(x) - 1, -1, -1):
            into[t] = (h + grad[t]) * slope[t]
            h = into[t] @ op.r.codes
        return into @ op.w.codes, [into]

    return Replay({"w": x, "r": before}, back)


CELLS: dict[type[Operator], Callable[..., Replay]] = {Lstm: _lstm, LstmProjected: _lstm, Gru: _gru, Rnn: _rnn}
