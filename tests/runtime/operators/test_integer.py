"""Integer operators: their numbers, their gates, and their accuracy compared with float operators."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.runtime import _kernels
from tidegate.runtime.arrays import Array
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.backends.onnxruntime_snapshot import HASHED_FROM, hash_of
from tidegate.runtime.operators import IntegerGru, IntegerLstm, Map
from tidegate.runtime.operators.integer import INTEGER_MAPS, IntegerMap
from tidegate.runtime.operators.matrix import LARGEST_CODE, Matrix
from tidegate.runtime.operators.numbers import fixed
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program
from tidegate.runtime.reference import ReferenceStream
from tools.random_layers import integer_gru, integer_lstm
from tools.streams import contract_of

FLOATS = st.floats(-(2.0**64), 2.0**64, width=32)
EXPONENTS = st.integers(fixed.LEAST_EXPONENT, fixed.MOST_EXPONENT)


@given(value=FLOATS, exponent=EXPONENTS, bits=st.integers(2, fixed.VALUE_BITS))
def test_code_is_the_nearest(value: float, exponent: int, bits: int) -> None:
    """The reference uses Python's integers: floor(value * 2^exponent + 1/2), clipped at both ends."""
    numerator, denominator = value.as_integer_ratio()
    numerator, denominator = numerator << (exponent + 41), denominator << 41
    wanted = (2 * numerator + denominator) // (2 * denominator)
    most = 2 ** (bits - 1) - 1
    assert fixed.codes(np.array([value], np.float32), exponent, bits) == max(-most, min(most, wanted))


@given(code=st.integers(-(2**24) + 1, 2**24 - 1), exponent=EXPONENTS)
def test_values_of_codes_are_exact(code: int, exponent: int) -> None:
    value = fixed.values(np.array([code]), exponent)
    assert float(value[0]) == code * 2.0**-exponent
    assert fixed.codes(value, exponent, fixed.VALUE_BITS) == code


@given(
    total=st.integers(-(2**31) + 1, 2**31 - 1),
    scale=st.floats(2.0**-40, 2.0**40, width=32),
    exponent=st.integers(-100, 100),
)
def test_scaled_sum_is_the_nearest(total: int, scale: float, exponent: int) -> None:
    numerator, denominator = scale.as_integer_ratio()
    numerator, denominator = (total * numerator) << (exponent + 100), denominator << 100
    wanted = (2 * numerator + denominator) // (2 * denominator)
    seen = fixed.scaled(np.array([total]), np.array([scale], np.float32), exponent)
    assert seen == max(-fixed.MOST_SUM, min(fixed.MOST_SUM, wanted))


@pytest.mark.parametrize(
    ("gate", "exact"), [(fixed.tanh, np.tanh), (fixed.sigmoid, lambda x: 1 / (1 + np.exp(-x)))], ids=["tanh", "sigmoid"]
)
def test_gates_are_within_codes_of_the_function(
    gate: Callable[[Array], Array], exact: Callable[[Array], Array]
) -> None:
    """Gates are also monotone, and exactly 1 if saturated, so that a forget gate can keep c for ever."""
    x = np.arange(-13 << fixed.GATE, 13 << fixed.GATE, 5)
    y = gate(x)
    assert np.max(np.abs(y / 2.0**fixed.UNIT - exact(x / 2.0**fixed.GATE))) < 1.2 / 2.0**fixed.UNIT
    assert np.all(np.diff(y) >= 0)
    assert gate(np.array([fixed.MOST_SUM])) == 1 << fixed.UNIT
    np.testing.assert_array_equal(fixed.tanh(-x), -fixed.tanh(x))


@pytest.mark.parametrize("columns", [1, 516, 517, 1032, 1033, 16384])
def test_bits_are_the_most_whose_sum_cannot_overflow(columns: int) -> None:
    bits = fixed.fixed_bits(columns)
    assert columns * LARGEST_CODE[8] * fixed.largest(bits) <= 2**31 - 1
    assert bits == 16 or columns * LARGEST_CODE[8] * fixed.largest(bits + 1) > 2**31 - 1


@pytest.mark.parametrize("function", INTEGER_MAPS)
def test_map_is_that_of_floats(function: str) -> None:
    """Relu gives the same bits, the others are within two codes."""
    x = np.random.default_rng(0).normal(0, 4, 5000).astype(np.float32)
    difference = np.abs(INTEGER_MAPS[function](x) - Map((0,), function).formula(x))
    assert np.max(difference) <= (0 if function == "relu" else 2 * 2.0**-fixed.UNIT)
    assert IntegerMap((0,), function).record().function == list(INTEGER_MAPS).index(function) + 1


def reading(weights: Matrix, scale: float, exponent: int) -> Matrix:
    """Return weights whose output channels have similar scales, with 16-bit activations."""
    scales = np.full((len(weights.codes), 1), scale, np.float32)
    return replace(weights, scales=scales, bits=16, exponent=exponent)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def lstm_in_floats(cell: IntegerLstm, x: Array) -> Array:
    w, r = (m.codes * m.scales for m in (cell.w, cell.r))
    bias = cell.bias / 2.0**fixed.GATE
    h, c, made = np.zeros(cell.hidden), np.zeros(cell.hidden), []
    for frame in x.astype(np.float64):
        i, o, f, g = np.split(w @ frame + r @ h + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        made.append(h)
    return np.array(made)


def gru_in_floats(cell: IntegerGru, x: Array) -> Array:
    w, r = (m.codes * m.scales for m in (cell.w, cell.r))
    bias, own = (b / 2.0**fixed.GATE for b in (cell.bias, cell.candidate_bias))
    h, made = np.zeros(cell.hidden), []
    for frame in x.astype(np.float64):
        of_x, of_h = np.split(w @ frame + bias, 3), np.split(r @ h, 3)
        update, reset = sigmoid(of_x[0] + of_h[0]), sigmoid(of_x[1] + of_h[1])
        h = (1 - update) * np.tanh(of_x[2] + reset * (of_h[2] + own)) + update * h
        made.append(h)
    return np.array(made)


def test_cells_follow_those_of_floats() -> None:
    """The reference is the equations in float64 with the same weights; only the codes of x, states and gates differ."""
    rng = np.random.default_rng(1)
    lstm, gru = integer_lstm(rng, 0, (12, 20)), integer_gru(rng, 0, (12, 20))
    biases = rng.integers(-(1 << 16), 1 << 16, 80)
    lstm = replace(lstm, w=reading(lstm.w, 2.0**-9, 13), r=reading(lstm.r, 2.0**-10, 15), bias=biases)
    lstm = replace(lstm, exponents=np.full(20, 13))
    gru = replace(gru, w=reading(gru.w, 2.0**-9, 13), r=reading(gru.r, 2.0**-10, 15), bias=biases[:60])
    gru = replace(gru, candidate_bias=biases[60:])
    x = rng.normal(0, 1, (300, 12)).astype(np.float32)
    for cell, wanted in ((lstm, lstm_in_floats(lstm, x)), (gru, gru_in_floats(gru, x))):
        made = ReferenceStream(Program(12, (cell,), (("y", 1),))).push(x)["y"]
        assert made is not None
        error = float(np.max(np.abs(made - wanted)))
        print(f"{type(cell).__name__}: at most {error:.2g}")
        assert error < 2e-3


@pytest.mark.parametrize("isa", _kernels.variants())
@given(
    seed=st.integers(0, 2**32 - 1), sizes=st.tuples(*[st.integers(1, 70)] * 2), kind=st.sampled_from(["lstm", "gru"])
)
@settings(max_examples=40)
def test_states_that_callers_give_are_read_as_codes(isa: str, seed: int, sizes: tuple[int, int], kind: str) -> None:
    """Any restored floats give the answers of the specification, and a snapshot holds them unchanged."""
    rng = np.random.default_rng(seed)
    cell = (integer_lstm if kind == "lstm" else integer_gru)(rng, 0, sizes)
    program = Program(sizes[0], (cell,), (("y", 1),))
    stream = NativeModel(compile_program(program, contract_of(program)), isa).stream()
    states = tuple(rng.normal(0, 4, sizes[1]).astype(np.float32) for _ in cell.slots)
    x = rng.normal(0, 1, (5, sizes[0])).astype(np.float32)
    values = np.concatenate(states).astype("<f4").tobytes()
    snapshot = stream.snapshot()[: -len(values)] + values
    stream.restore(snapshot[:16] + hash_of(snapshot[HASHED_FROM:]) + snapshot[HASHED_FROM:])
    assert stream.snapshot()[-len(values) :] == values
    wanted = []
    for frame in x:
        y, states = cell.step(states, frame)
        wanted.append(y)
    np.testing.assert_array_equal(stream.push(x), np.array(wanted), strict=True)
