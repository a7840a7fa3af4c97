"""Numbers at their limits and over long streams: sums that just fit, a growing cell state, drift."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tidegate.runtime import _kernels
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.backends.native import NativeModel, NativeStream
from tidegate.runtime.errors import ChunkError, PlanError
from tidegate.runtime.operators import Operator, Slot
from tidegate.runtime.operators.matrix import FLOAT
from tidegate.runtime.plan.writer import OP, compile_program, seal
from tidegate.runtime.program import Linear, Lstm, Matrix, Program, Reading, activation_bits
from tidegate.runtime.reference import ReferenceStream
from tools.random_programs import programs
from tools.streams import as_pushed, contract_of, cuts, frames_for, push_cut

CASES = int(os.environ.get("TIDEGATE_CASES", "1000"))  # `make soak` asks for more
STEPS = int(os.environ.get("TIDEGATE_DRIFT_STEPS", "20000"))  # a million by `make drift`


def plan_of(*ops: Operator, width: int) -> tuple[Program, bytes]:
    program = Program(width, ops, (("y", len(ops)),))
    return program, compile_program(program, contract_of(program))


def largest_rows(columns: int, weight_bits: int) -> Matrix:
    """Channels of the largest codes of one sign, of the other, and of both alternating."""
    most = {4: 7, 8: 127}[weight_bits]
    rows = [np.full(columns, most), np.full(columns, -most), np.where(np.arange(columns) % 2, most, -most)]
    bits = activation_bits(columns, 16, weight_bits, 0)
    return Matrix(np.array(rows, np.int8), np.ones((3, 1), np.float32), Reading.FRAME, bits, weight_bits, 0)


# 16-bit codes reach 32639, so 518 inputs fit with 8-bit weights and 9399 with 4-bit ones; one more takes a bit.
@pytest.mark.parametrize("isa", _kernels.variants())
@pytest.mark.parametrize(("weight_bits", "columns"), [(8, 518), (8, 519), (4, 9399), (4, 9400)])
def test_row_7_sums_at_the_limit_of_int32_are_exact_on_every_instruction_set(
    isa: str, weight_bits: int, columns: int
) -> None:
    """The largest possible sum of one sign; instructions that saturate pairs at 16 bits would fail here too."""
    program, plan = plan_of(Linear((0,), largest_rows(columns, weight_bits), np.zeros(3, np.float32)), width=columns)
    frames = np.ones((2, columns), np.float32)
    frames[1, ::2] = -1
    wanted = ReferenceStream(program).push(frames)["y"]
    assert isinstance(wanted, np.ndarray)
    np.testing.assert_array_equal(NativeModel(plan, isa).stream().push(frames), wanted)
    assert np.isclose(np.abs(wanted).max(), columns * {4: 7, 8: 127}[weight_bits], rtol=1e-4)


@pytest.mark.parametrize(("weight_bits", "columns", "most"), [(8, 519, 15), (4, 9400, 15)])
def test_plan_whose_sums_could_overflow_int32_is_refused(weight_bits: int, columns: int, most: int) -> None:
    _, plan = plan_of(Linear((0,), largest_rows(columns, weight_bits), np.zeros(3, np.float32)), width=columns)
    altered = bytearray(plan)
    altered[128 + 48 + 28] = 16  # w.bits
    with pytest.raises(PlanError, match=rf"operation 0: w\.bits is 16, wanted {most}"):
        NativeModel(seal(altered))
    assert OP.size == 256


# ---- long streams ----


def lstm(rng: np.random.Generator, inputs: int, hidden: int) -> Lstm:
    """A layer that remembers: its forget gates are near 1."""
    w, r = (rng.normal(0, s, (4 * hidden, n)).astype(np.float32) for s, n in ((0.4, inputs), (0.15, hidden)))
    bias = np.zeros(4 * hidden, np.float32)
    bias[2 * hidden : 3 * hidden] = 3
    return Lstm((0,), quantized(w, Reading.FRAME), quantized(r, Reading.HIDDEN), bias, Slot("l.h", 0), Slot("l.c", 0))


def quantized(floats: Floats, reading: Reading) -> Matrix:
    scales = np.abs(floats).max(1, keepdims=True) / np.float32(127)
    codes = np.rint(floats / scales).astype(np.int8)
    return Matrix(codes, scales, reading, activation_bits(floats.shape[1], 16, 8, 0), 8, 0)


def exact(layer: Lstm, frames: Array) -> Iterator[Array]:
    """Stream the same weights in float64."""
    w, r = (m.codes * m.scales.astype(np.float64) for m in (layer.w, layer.r))
    h = c = np.zeros(len(r) // 4)
    given = frames.astype(np.float64) @ w.T + layer.bias
    for x in given:
        i, o, f, g = np.split(x + r @ h, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        yield h


def test_row_6_long_stream_does_not_drift_from_float64() -> None:
    """The error of h per decade of steps: in the last decade at most 1.1 times the error of steps 1,000 to 10,000."""
    rng = np.random.default_rng(0)
    layer = lstm(rng, 8, 16)
    frames = rng.normal(0, 1, (STEPS, 8)).astype(np.float32)
    stream = NativeModel(plan_of(layer, width=8)[1]).stream()
    error = np.abs(np.asarray(stream.push(frames)) - np.array(list(exact(layer, frames)))).max(1)
    edges = [0, *(10**n for n in range(2, 7) if 10**n < STEPS), STEPS]
    by_decade = [float(error[a:b].max()) for a, b in pairwise(edges)]
    typical = [float(np.sqrt(np.mean(error[a:b] ** 2))) for a, b in pairwise(edges)]
    for (start, end), most, mean in zip(pairwise(edges), by_decade, typical, strict=True):
        print(f"steps {start} to {end}: largest error {most:.1e}, root mean square {mean:.1e}")
    assert typical[-1] <= 1.1 * typical[2]
    assert max(by_decade) < 1e-3


@pytest.mark.parametrize("isa", _kernels.variants())
def test_row_5_cell_state_that_grows_without_bound_stays_exact(isa: str) -> None:
    """All gates open: c gains almost 1 per step, which an integer of 8 or 16 bits could not hold."""
    hidden, steps = 3, 5000
    zeros = Matrix(
        np.zeros((4 * hidden, 1), np.float32), np.ones((4 * hidden, 1), np.float32), Reading.FRAME, 16, FLOAT
    )
    own = Matrix(
        np.zeros((4 * hidden, hidden), np.float32), np.ones((4 * hidden, 1), np.float32), Reading.HIDDEN, 16, FLOAT
    )
    layer = Lstm((0,), zeros, own, np.full(4 * hidden, 50, np.float32), Slot("l.h", 0), Slot("l.c", 0))
    program, plan = plan_of(layer, width=1)
    frames = np.zeros((steps, 1), np.float32)
    stream, reference = NativeModel(plan, isa).stream(), ReferenceStream(program)
    np.testing.assert_array_equal(stream.push(frames), reference.push(frames)["y"])
    c = stream.states()[1]
    np.testing.assert_array_equal(c, reference.states()[1])
    np.testing.assert_array_equal(c, np.full(hidden, steps, np.float32))


# ---- a poisoned chunk ----


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_row_1_one_bad_value_at_any_place_does_not_poison_the_state(value: float) -> None:
    rng = np.random.default_rng(1)
    plan = plan_of(lstm(rng, 3, 4), width=3)[1]
    stream, alone = NativeModel(plan).stream(), NativeModel(plan).stream()
    for _ in range(20):
        chunk = rng.normal(0, 1, (6, 3)).astype(np.float32)
        for at in range(chunk.size):
            bad = chunk.copy()
            bad.flat[at] = value
            before = stream.states()
            with pytest.raises(ValueError, match=rf"at frame {at // 3}, feature {at % 3}; .* state unchanged"):
                stream.push(bad)
            for now, then in zip(stream.states(), before, strict=True):
                np.testing.assert_array_equal(now, then)
        np.testing.assert_array_equal(stream.push(chunk), alone.push(chunk))
    assert stream.refused == 20 * 18 * 6


# ---- refused frames of any model ----


@settings(max_examples=CASES // 5)
@given(data=st.data(), program=programs(), seed=st.integers(0, 2**32 - 1), count=st.integers(1, 40))
def test_row_1_refused_chunks_leave_no_trace_in_any_program(
    data: st.DataObject, program: Program, seed: int, count: int
) -> None:
    """Also not in the frames that a model which looks ahead holds back: between its chunks come bad ones."""
    rng = np.random.default_rng(seed)
    frames = frames_for(program, rng, count) if program.ids else rng.normal(0, 1, (count, program.input_width))
    frames = frames.astype(np.float32)
    plan = compile_program(program, contract_of(program))
    tried, calm = (NativeModel(plan, data.draw(st.sampled_from(_kernels.variants()))).stream() for _ in range(2))
    assume(answers_of(calm, program, frames, [0, count]) is not None)
    calm.reset()
    for at, to in pairwise([*data.draw(cuts(count)), count]):
        disturb(tried, program, data.draw(st.sampled_from([np.nan, 1e30, 1e12, 1e17, -1.8e19])), rng)
        for mine, theirs in zip(tried.states(), calm.states(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert_same(tried.push(as_pushed(program, frames[at:to])), calm.push(as_pushed(program, frames[at:to])))
    assert_same(tried.finish(), calm.finish())


def answers_of(stream: NativeStream, program: Program, frames: Floats, at: list[int]) -> dict[str, Array] | None:
    """Return the answers to frames; None if they are refused."""
    with suppress(ChunkError):
        return push_cut(program, stream, frames, at)
    return None


def disturb(stream: NativeStream, program: Program, value: float, rng: np.random.Generator) -> None:
    """Push up to 25 frames of which one has a value that may be refused; if it is taken, go back."""
    frames = rng.normal(0, 1, (int(rng.integers(1, 26)), program.input_width)).astype(np.float32)
    frames[rng.integers(len(frames)), rng.integers(program.input_width)] = value
    before, refused = stream.snapshot(), stream.refused
    try:
        stream.push(np.full(len(frames), -1, np.int64) if program.ids else frames)
    except ChunkError:
        assert stream.refused == refused + len(frames)
    else:
        stream.restore(before)


def assert_same(mine: object, theirs: object) -> None:
    """Compare two answers, of one output or of several."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        assert mine.keys() == theirs.keys()
        for name, values in mine.items():
            assert_same(values, theirs[name])
    else:
        np.testing.assert_array_equal(mine, theirs)
