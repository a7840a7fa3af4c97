"""The error over many steps: when it stays, when it grows, and how short streams are repeated."""

from dataclasses import replace

import numpy as np
import pytest
from tidegate.quant.observing.calibration_streams import Streams
from tidegate.quant.observing.drift import CHUNK, Drift, drift_of
from tidegate.runtime.arrays import Array
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.contract import Blocks
from tidegate.runtime.operators import Linear, Lstm, Slot, Window
from tidegate.runtime.operators.matrix import FLOAT, Matrix, Reading
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program
from tools.random_layers import lstm
from tools.streams import contract_of


def floats(values: Array, reading: Reading = Reading.FRAME) -> Matrix:
    return Matrix(values.astype(np.float32), np.ones((len(values), 1), np.float32), reading, 16, FLOAT)


def counter(forget: float) -> Program:
    """Return an LSTM of one unit that sums its input; `forget` is the bias of its forget gate."""
    w, bias = np.zeros((4, 1)), np.array([30, 30, forget, 0], np.float32)
    w[3] = 1e-3
    base = lstm(np.random.default_rng(0), 0, (1, 1), Reading.FRAME, 16)
    layer = replace(base, w=floats(w), r=floats(np.zeros((4, 1)), Reading.HIDDEN), bias=bias)
    return Program(1, (layer,), (("y", 1),))


def scaled(program: Program, factor: float) -> Program:
    """Return the program with its input weight multiplied by a factor."""
    layer = program.ops[0]
    assert isinstance(layer, Lstm)
    return replace(program, ops=(replace(layer, w=floats(layer.w.codes * np.float32(factor))),))


def streams(*lengths: int) -> Streams:
    rng = np.random.default_rng(0)
    frames = tuple(rng.uniform(0, 0.01, (length, 1)).astype(np.float32) for length in lengths)
    return Streams(frames, tuple(np.ones(length, bool) for length in lengths), complete=True)


def drift(exact: Program, made: Program, given: Streams, steps: int) -> Drift:
    found = drift_of(exact, made, contract_of(exact), given, steps)
    assert found is not None
    return found


def test_equal_programs_have_no_error() -> None:
    found = drift(counter(2), counter(2), streams(700), 5000)
    assert [(span.first, span.last) for span in found.decades] == [(1, 10), (11, 100), (101, 1000), (1001, 5000)]
    assert all(span.error == span.largest == 0 for span in (*found.decades, *found.curve))
    assert (found.steps, found.streams, found.repeated) == (5000, 2, 700)


def test_an_integrator_drifts_and_a_leaky_one_does_not() -> None:
    leaky, keeping = counter(0.0), counter(30.0)
    steady = drift(leaky, scaled(leaky, 1.05), streams(700, 900), 20_000)
    assert 0.9 < steady.decades[-1].error / steady.decades[-2].error < 1.1
    growing = drift(keeping, scaled(keeping, 1.05), streams(700, 900), 20_000)
    assert growing.decades[-1].error > 2 * growing.decades[-2].error


def test_errors_are_those_of_the_whole_answers() -> None:
    exact, given, steps = counter(1.0), streams(3000), 2 * CHUNK + 321
    made = scaled(exact, 1.1)
    found = drift(exact, made, given, steps)
    frames = np.resize(given.frames[0], (steps, 1))
    y, z = (
        np.asarray(NativeModel(compile_program(p, contract_of(p))).stream().push(frames)).astype(np.float64)
        for p in (exact, made)
    )
    power = np.sqrt(np.mean(y**2))
    for span in (*found.decades, *found.curve):
        gap = (z - y)[span.first - 1 : span.last]
        assert span.error == pytest.approx(np.sqrt(np.mean(gap**2)) / power, rel=1e-9)
        assert span.largest == pytest.approx(np.abs(gap).max() / power, rel=1e-9)
    assert found.curve[-1].last == steps


def test_a_model_that_leaves_its_range_is_measured_up_to_that_step() -> None:
    program = Program(1, (Linear((0,), floats(np.ones((1, 1))), np.zeros(1, np.float32)),), (("y", 1),))
    given = streams(2500)
    wild = replace(program, ops=(Linear((0,), floats(np.full((1, 1), 2.0**40)), np.zeros(1, np.float32)),))
    given.frames[0][2200] = 2.0**30
    found = drift(program, wild, given, 4000)
    assert found.steps == CHUNK
    given.frames[0][20] = 2.0**30
    assert drift_of(program, wild, contract_of(program), given, 4000) is None


@pytest.mark.parametrize("ahead", [0, 3])
def test_answers_that_come_late_are_counted_by_their_frames(ahead: int) -> None:
    window = Window((0,), 4, 1, 1, Slot("tail", 0), lookahead=ahead)
    mean = np.full((1, 4), 0.25)
    exact, made = (
        Program(1, (window, Linear((1,), floats(mean * factor), np.zeros(1, np.float32))), (("y", 2),))
        for factor in (1.0, 1.1)
    )
    found = drift(exact, made, streams(700), 5000)
    assert [(span.first, span.last) for span in found.decades] == [(1, 10), (11, 100), (101, 1000), (1001, 5000)]
    assert all(0.05 < span.error < 0.15 for span in found.decades[1:])


def test_a_stream_that_is_one_block_has_no_long_streams() -> None:
    exact = counter(1.0)
    whole = replace(exact, blocks=Blocks(None, 0, 100))
    assert drift_of(whole, whole, contract_of(exact), streams(700), 5000) is None
