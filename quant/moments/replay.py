"""Operators with weights, run again on observed values: the inputs of their matrices, and gradients.

Arrays are `[frames, segments, width]`. Gradients come by backpropagation through time (Werbos, 1990) within a segment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.cells import Activation
from ...runtime.operators import (
    Gru,
    GruWithOptions,
    Linear,
    Lstm,
    LstmProjected,
    LstmWithOptions,
    Operator,
    Rnn,
    RnnWithOptions,
)
from ...runtime.operators.activations import activate
from .slopes import slope_of
from .sums import RESET_H

Starts = tuple[Floats, ...]


@dataclass(frozen=True)
class Replay:
    """An operator, run again on segments.

    Attributes:
        reads: What each matrix multiplies: its input by the operator's field, and others by the names in `sums_of`.
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
    before = np.concatenate([starts[0][None], y[:-1, ..., : starts[0].shape[-1]]])  # h; y may hold c too
    return CELLS[type(op)](op, x, before, y, starts)


def _activate(function: Activation, sums: Floats, clip: float = 0.0) -> tuple[Floats, Floats]:
    """Return a function of sums, and its slope at each of them; a clip limits their magnitudes."""
    y = activate(function, sums, clip)
    slope = slope_of(function, np.clip(sums, -clip, clip) if clip else sums, y)
    return y, slope * (np.abs(sums) <= clip) if clip else slope


class _Lstm(NamedTuple):
    """The steps of an LSTM, `[frames, segments, units]`: gates, candidate, their slopes, c and h(c)."""

    gates: tuple[Floats, ...]  # i, o, f, candidate
    slopes: tuple[Floats, ...]
    c: Floats
    bound: Floats
    bound_slope: Floats


def _lstm_steps(op: Lstm | LstmProjected, x: Floats, before: Floats, start: Floats) -> _Lstm:
    """Run an LSTM again; with peepholes frame by frame, because its gates read c."""
    gate, squash, last = op.form.activations
    clip, sums = op.form.clip, x @ op.w.codes.T + before @ op.r.codes.T + op.bias
    i, o, f, g = np.split(sums, 4, -1)
    of_i, of_o, of_f = np.split(peepholes_of(op), 3)
    candidate, into_candidate = _activate(squash, g, clip)
    apart = of_i.any() or of_f.any()  # without peepholes all frames go through the gates together
    made = (
        tuple(np.empty_like(i) for _ in range(4)) if apart else (*_activate(gate, i, clip), *_activate(gate, f, clip))
    )
    c, cell = np.empty_like(i), start
    for t in range(len(x)):
        if apart:
            now = *_activate(gate, i[t] + of_i * cell, clip), *_activate(gate, f[t] + of_f * cell, clip)
            for whole, one in zip(made, now, strict=True):
                whole[t] = one
        forget_gate = 1 - made[0][t] if op.form.coupled else made[2][t]
        cell = forget_gate * cell + made[0][t] * candidate[t]
        c[t] = cell
    input_gates, into_i, forget_gates, into_f = made
    if op.form.coupled:
        forget_gates, into_f = 1 - input_gates, np.zeros_like(into_f)
    output_gates, into_o = _activate(gate, o + of_o * c, clip)
    gates = input_gates, output_gates, forget_gates, candidate
    return _Lstm(gates, (into_i, into_o, into_f, into_candidate), c, *_activate(last, c))


def lstm_cells(op: Lstm, x: Floats, before: Floats, start: Floats) -> Floats:
    """Return c of an LSTM after each frame.

    Args:
        op: The layer. Its matrices are float.
        x: Its input.
        before: h before each frame.
        start: c before the first frame, `[segments, width]`.
    """
    return _lstm_steps(op, x, before, start).c


def peepholes_of(op: Lstm | LstmProjected) -> Floats:
    """Return the peepholes of an LSTM; zeros if it has none."""
    own = getattr(op, "peepholes", None)
    return np.zeros(3 * len(op.w.codes) // 4, np.float32) if own is None else own


def _lstm(op: Lstm | LstmProjected, x: Floats, before: Floats, _: Floats, starts: Starts) -> Replay:
    made, p = _lstm_steps(op, x, before, starts[1]), getattr(op, "p", None)
    (i, o, f, candidate), slopes = made.gates, made.slopes
    c_before = np.concatenate([starts[1][None], made.c[:-1]])
    of_i, of_o, of_f = np.split(peepholes_of(op), 3)
    factors = (
        (candidate - c_before if op.form.coupled else candidate) * slopes[0],
        made.bound * slopes[1],
        c_before * slopes[2],
        i * slopes[3],
        o * made.bound_slope,
    )
    reads = {"w": x, "r": before} | ({} if p is None else {"p": o * made.bound})

    def back(grad: Floats) -> tuple[Floats, list[Floats]]:
        into, onto = np.empty((*i.shape[:-1], 4 * i.shape[-1]), np.float32), np.empty_like(before)
        h, c = np.zeros_like(before[0]), np.zeros_like(starts[1])
        of_h, of_c = np.split(grad, [h.shape[-1]], -1)  # the second is empty if the answer is h alone
        for t in range(len(x) - 1, -1, -1):
            h = h + of_h[t]
            c = c + of_c[t] if of_c.size else c
            onto[t] = h
            m = h if p is None else h @ p.codes
            of_output = m * factors[1][t]
            c = c + m * factors[4][t] + of_output * of_o
            of_input, of_forget = c * factors[0][t], c * factors[2][t]
            into[t] = np.concatenate([of_input, of_output, of_forget, c * factors[3][t]], -1)
            c = c * f[t] + of_input * of_i + of_forget * of_f
            h = into[t] @ op.r.codes
        gates = np.split(into, 4, -1)
        return into @ op.w.codes, gates if p is None else [*gates, onto]

    return Replay(reads, back)


def _gru(op: Gru, x: Floats, before: Floats, _: Floats, __: Starts) -> Replay:
    (gate, squash), clip, units = op.form.activations, op.form.clip, op.hidden
    own_r, gates_r = op.r.codes[2 * units :], op.r.codes[: 2 * units]
    of_x, of_h = x @ op.w.codes.T + op.bias, before @ gates_r.T
    update, into_update = _activate(gate, of_x[..., :units] + of_h[..., :units], clip)
    reset, into_reset = _activate(gate, of_x[..., units : 2 * units] + of_h[..., units:], clip)
    first = op.form.reset_first
    reads = {"w": x, "r": before} | ({RESET_H: reset * before} if first else {})
    own = reads[RESET_H] @ own_r.T if first else before @ own_r.T + op.candidate_bias
    candidate, into_candidate = _activate(squash, of_x[..., 2 * units :] + (own if first else reset * own), clip)
    of_update, of_candidate = (before - candidate) * into_update, (1 - update) * into_candidate

    def back(grad: Floats) -> tuple[Floats, list[Floats]]:
        into, of_own = np.empty_like(of_x), np.empty_like(own)
        h = np.zeros_like(before[0])
        for t in range(len(x) - 1, -1, -1):
            h = h + grad[t]
            n = h * of_candidate[t]
            of_own[t] = n if first else n * reset[t]
            through = of_own[t] @ own_r  # to r h, or to h
            of_reset = (through * before[t] if first else n * own[t]) * into_reset[t]
            into[t] = np.concatenate([h * of_update[t], of_reset, n], -1)
            h = h * update[t] + into[t][:, : 2 * units] @ gates_r + (through * reset[t] if first else through)
        sums = np.split(into, 3, -1)
        return into @ op.w.codes, sums if first else [*sums, of_own]

    return Replay(reads, back)


def _rnn(op: Rnn | RnnWithOptions, x: Floats, before: Floats, _: Floats, __: Starts) -> Replay:
    sums = x @ op.w.codes.T + before @ op.r.codes.T + op.bias
    _, slope = _activate(op.form.activations[0], sums, op.form.clip)

    def back(grad: Floats) -> tuple[Floats, list[Floats]]:
        into, h = np.empty_like(grad), np.zeros_like(before[0])
        for t in range(len(x) - 1, -1, -1):
            into[t] = (h + grad[t]) * slope[t]
            h = into[t] @ op.r.codes
        return into @ op.w.codes, [into]

    return Replay({"w": x, "r": before}, back)


CELLS: dict[type[Operator], Callable[..., Replay]] = {
    **dict.fromkeys((Lstm, LstmProjected, LstmWithOptions), _lstm),
    **dict.fromkeys((Gru, GruWithOptions), _gru),
    **dict.fromkeys((Rnn, RnnWithOptions), _rnn),
}
