"""Exponents of integer operations: as large as possible, with room above the magnitudes on the streams."""

from dataclasses import replace

import numpy as np
import pytest
from tidegate.quant.integer.exponents import ROOM, ROOM_OF_VALUES, exponents_of
from tidegate.quant.observing.calibration_streams import Streams
from tidegate.quant.observing.observation import Segment, observe
from tidegate.runtime.arrays import Floats
from tidegate.runtime.operators import Elementwise, Linear, Lstm, Map, Softmax
from tidegate.runtime.operators.matrix import FLOAT, Reading
from tidegate.runtime.operators.numbers.fixed import LEAST_EXPONENT, MOST_EXPONENT, VALUE_BITS, fixed_bits, largest
from tidegate.runtime.program import Program
from tidegate.runtime.reference import ReferenceStream
from tools.random_layers import lstm, matrix
from tools.streams import contract_of

FEATURES, HIDDEN = 3, 5


def linear(bias: float = 0.0) -> Program:
    weights = matrix(np.random.default_rng(1), 2, FEATURES, Reading.FRAME, 16, weights=(FLOAT, 0))
    return Program(FEATURES, (Linear((0,), weights, np.full(2, bias, np.float32)),), (("y", 1),))


def streams(level: float, *lengths: int, held: int = 0) -> Streams:
    """Return noise of a level; the last frames of each stream are held out."""
    rng = np.random.default_rng(2)
    frames = tuple((level * rng.standard_normal((length, FEATURES))).astype(np.float32) for length in lengths)
    return Streams(frames, tuple(np.arange(length) >= length - held for length in lengths), complete=True)


def observed(program: Program, found: Streams) -> list[Segment]:
    return observe(program, contract_of(program), found, lambda _: None)


def assert_tight(exponent: int, most: float, bits: int) -> None:
    """Assert that the codes hold a magnitude, and that those of the next exponent do not."""
    assert most * 2.0**exponent <= largest(bits) < most * 2.0 ** (exponent + 1)


@pytest.mark.parametrize("level", [1e-6, 1e-3, 1.0, 300.0])
def test_codes_hold_the_magnitudes_on_the_streams_with_room_to_spare(level: float) -> None:
    program = linear()
    segments = observed(program, streams(level, 200))
    (found,) = exponents_of(program, segments).values()
    x, y = (float(np.abs(segments[0].values[value]).max()) for value in (0, 1))
    assert isinstance(found["input"], int)
    assert isinstance(found["output"], int)
    assert_tight(found["input"], ROOM * x, fixed_bits(FEATURES))
    assert_tight(found["output"], ROOM_OF_VALUES * y, VALUE_BITS)


def test_a_bias_larger_than_any_output_has_room_too() -> None:
    program = linear(bias=1e6)
    (found,) = exponents_of(program, observed(program, streams(1.0, 100))).values()
    assert isinstance(found["output"], int)
    assert 1e6 * 2.0 ** found["output"] <= largest(VALUE_BITS)


@pytest.mark.parametrize(("level", "limit"), [(1e-30, MOST_EXPONENT), (1e18, LEAST_EXPONENT)])
def test_exponents_stay_within_what_the_engine_accepts(level: float, limit: int) -> None:
    program = linear()
    (found,) = exponents_of(program, observed(program, streams(level, 100))).values()
    assert found["input"] == limit


def test_silence_gets_the_exponent_of_one() -> None:
    program = linear()
    (found,) = exponents_of(program, observed(program, streams(0.0, 100))).values()
    assert isinstance(found["input"], int)
    assert_tight(found["input"], 1.0, fixed_bits(FEATURES))


def test_held_out_frames_do_not_count() -> None:
    program, found = linear(), streams(1.0, 100, held=20)
    louder = found.frames[0].copy()
    louder[80:] *= 1000
    segments = [observed(program, replace(found, frames=(frames,))) for frames in (found.frames[0], louder)]
    assert exponents_of(program, segments[0]) == exponents_of(program, segments[1])


def test_only_operations_that_may_have_an_integer_form_get_exponents() -> None:
    constant = np.ones(FEATURES, np.float32)
    ops = (Elementwise((0,), "mul", constant), Map((1,), "relu"), Softmax((2,), "softmax"))
    program = Program(FEATURES, ops, (("y", 3),))
    found = exponents_of(program, observed(program, streams(1.0, 60)))
    assert {index: set(one) for index, one in found.items()} == {0: {"input", "output"}, 1: set()}


def layer() -> Program:
    rng = np.random.default_rng(3)
    return Program(FEATURES, (lstm(rng, 0, (FEATURES, HIDDEN), Reading.FRAME, 16, weights=(FLOAT, 0)),), (("y", 1),))


def largest_c(program: Program, frames: tuple[Floats, ...]) -> Floats:
    """Return the largest c of each unit, from the specification."""
    most = np.zeros(HIDDEN, np.float32)
    for stream in frames:
        reference = ReferenceStream(program)
        for frame in stream:
            reference.push(frame[None])
            most = np.maximum(most, np.abs(reference.states()[1]))
    return most


def test_each_unit_of_an_lstm_has_its_own_exponent_for_c() -> None:
    """The streams have different lengths; one is longer than a segment."""
    program, found = layer(), streams(1.0, 1100, 60, 90)
    (exponents,) = exponents_of(program, observed(program, found)).values()
    state = exponents["state"]
    assert isinstance(state, list)
    assert isinstance(program.ops[0], Lstm)
    assert len(state) == HIDDEN
    for exponent, most in zip(state, largest_c(program, found.frames), strict=True):
        assert 0 <= exponent <= 15
        if 0 < exponent < 15:
            assert_tight(exponent, ROOM * float(most), 16)
