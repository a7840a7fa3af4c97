"""Exponents of integer operations: scales are powers of two, from the magnitudes in the float program."""

from collections.abc import Sequence
from math import floor, log2

import numpy as np

from ...runtime.arrays import Floats
from ...runtime.lowering.integer import NEEDS, Exponents, offset
from ...runtime.operators import Elementwise, Linear, Lstm, Operator
from ...runtime.operators.matrix import Reading
from ...runtime.operators.numbers.fixed import (
    LEAST_EXPONENT,
    MOST_EXPONENT,
    STATE_BITS,
    UNIT,
    VALUE_BITS,
    fixed_bits,
    largest,
)
from ...runtime.program import Program
from ..moments.moments import stacked
from ..moments.replay import lstm_cells
from ..observing.observation import Segment
from ..observing.ranges import magnitudes

ROOM = 2.0  # a value saturates if it is this many times larger than on the streams
ROOM_OF_VALUES = 8.0  # the same for codes of 24 bits, which have bits to spare
TOGETHER = 16  # segments for which c is computed side by side


def exponents_of(program: Program, segments: Sequence[Segment]) -> dict[int, Exponents]:
    """Return the exponents of each operation that may have an integer form, by its index.

    Args:
        program: A float program that answers every frame.
        segments: All its values on the streams.
    """
    met = [one.largest for one in magnitudes(segments)]
    found: dict[int, Exponents] = {}
    for index, op in enumerate(program.ops):
        if type(op) in NEEDS:
            made: dict[str, int | list[int]] = {"input": _input(op, met), "output": _output(op, met[index + 1])}
            if isinstance(op, Lstm):
                made["state"] = [_state(float(most)) for most in _largest_c(op, index, segments)]
            found[index] = {name: made[name] for name in NEEDS[type(op)]}
    return found


def _input(op: Operator, met: Sequence[float]) -> int:
    most = met[op.inputs[0]]
    if isinstance(op, Elementwise):
        return _exponent(most, VALUE_BITS, ROOM_OF_VALUES)
    matrices = op.record().matrices
    if not matrices:
        return 0
    bits = fixed_bits(matrices[0].codes.shape[1])
    return bits - 1 if matrices[0].reading is Reading.HIDDEN else _exponent(most, bits, ROOM)


def _output(op: Operator, most: float) -> int:
    bias = op.bias if isinstance(op, Linear) else offset(op) if isinstance(op, Elementwise) else np.zeros(1)
    return _exponent(max(most, float(np.max(np.abs(bias)))), VALUE_BITS, ROOM_OF_VALUES)


def _state(most: float) -> int:
    return min(max(_exponent(most, STATE_BITS, ROOM), 0), UNIT)


def _exponent(most: float, bits: int, room: float) -> int:
    """Return the largest exponent whose codes hold `room * most`, or 1 if `most` is 0."""
    reach = room * most or 1.0
    return min(max(floor(log2(largest(bits) / reach)), LEAST_EXPONENT), MOST_EXPONENT)


def _largest_c(op: Lstm, index: int, segments: Sequence[Segment]) -> Floats:
    """Return the largest magnitude of each unit's c in the frames to calibrate on, `[units]`."""
    ordered, most = sorted(segments, key=lambda s: len(s.used)), np.zeros(len(op.w.codes) // 4, np.float32)
    for part in (ordered[at : at + TOGETHER] for at in range(0, len(ordered), TOGETHER)):
        length = len(part[-1].used)
        x = stacked([s.values[op.inputs[0]] for s in part], length)
        h, used = stacked([s.values[index + 1] for s in part], length), stacked([s.used for s in part], length)
        h_start, start = (np.stack([s.starts[index][k] for s in part]) for k in (0, 1))
        c = lstm_cells(op, x, np.concatenate([h_start[None], h[:-1]]), start)
        most = np.maximum(most, np.max(np.abs(c) * (used > 0)[..., None], axis=(0, 1)))
    return most
