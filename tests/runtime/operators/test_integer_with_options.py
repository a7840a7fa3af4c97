"""Integer cells with options: the plain ones without them, their records, and their accuracy against float cells."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tidegate.runtime.cells import GRU, LSTM
from tidegate.runtime.lowering.integer import in_integers
from tidegate.runtime.operators import GruWithOptions, IntegerLstmWithOptions, LstmWithOptions, Operator
from tidegate.runtime.operators.integer import PLAIN
from tidegate.runtime.operators.numbers.fixed import GATE
from tidegate.runtime.program import Program, Reading
from tidegate.runtime.reference import ReferenceStream
from tools.random_layers import (
    gru_with_options,
    integer_gru_with_options,
    integer_lstm,
    integer_lstm_with_options,
    lstm_with_options,
    weaker,
)

SIZES = (9, 12)


def of_lstm(**options: Any) -> LstmWithOptions:  # noqa: ANN401  options
    layer = lstm_with_options(
        np.random.default_rng(0), 0, SIZES, Reading.FRAME, 16, options=replace(LSTM.plain, **options)
    )
    return replace(layer, peepholes=None)


def peeping() -> LstmWithOptions:
    return replace(of_lstm(), peepholes=np.random.default_rng(1).normal(0, 0.5, 36).astype(np.float32))


def of_gru(**options: Any) -> GruWithOptions:  # noqa: ANN401  options
    form = replace(GRU.plain, reset_first=True, **options)
    return gru_with_options(np.random.default_rng(0), 0, SIZES, Reading.FRAME, 16, options=form)


CASES: dict[str, Operator] = {
    "coupled": of_lstm(coupled=True),
    "clip": of_lstm(clip=0.75),
    "peepholes": peeping(),
    "reset first": of_gru(),
    "reset first, clip": of_gru(clip=0.5),
}


@pytest.mark.parametrize("case", CASES)
def test_answers_are_close_to_those_of_floats(case: str) -> None:
    wild: Any = CASES[case]
    op = replace(wild, w=weaker(wild.w, np.float32(0.25)), r=weaker(wild.r, np.float32(0.25)))
    states = {"state": [10] * SIZES[1]} if isinstance(op, LstmWithOptions) else {}
    program = Program(SIZES[0], (op,), (("y", 1),), nodes=("n",))
    whole = in_integers(program, {"n": [{"input": 13, **states}]})
    assert not whole.ops[0].floats
    frames = np.random.default_rng(2).normal(0, 0.7, (60, SIZES[0])).astype(np.float32)
    seen, wanted = (np.asarray(ReferenceStream(one).push(frames)["y"]) for one in (whole, program))
    error = float(np.abs(seen - wanted).max())
    print(f"{case}: largest difference {error:.1e}, allowed 2e-3")
    assert error <= 2e-3


def test_no_option_gives_the_bits_of_the_plain_cell() -> None:
    plain = integer_lstm(np.random.default_rng(3), 0, SIZES)
    parts = plain.w, plain.r, plain.bias, plain.h, plain.c, plain.exponents
    other = IntegerLstmWithOptions((0,), *parts, PLAIN)
    x, state = np.ones(SIZES[0], np.float32), (np.full(SIZES[1], 0.5, np.float32),) * 2
    for mine, theirs in zip(other.next_state(x, *state), plain.next_state(x, *state), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_records_hold_the_options() -> None:
    lstm = integer_lstm_with_options(np.random.default_rng(4), 0, SIZES)
    options = replace(PLAIN, clip=3 << GATE, coupled=True, peepholes=np.arange(36), exponent=-3)
    record = replace(lstm, options=options).record()
    assert (record.function, record.counts) == (1 | 4, (3 << GATE, -3))
    np.testing.assert_array_equal(record.vectors[1], [*lstm.exponents, *range(36)])
    assert integer_gru_with_options(np.random.default_rng(5), 0, SIZES).record().function == 2
