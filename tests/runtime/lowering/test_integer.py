"""Integer forms of operations, and the exponents in a file."""

import numpy as np
import pytest
from tidegate.runtime.errors import ModelError
from tidegate.runtime.lowering.integer import Exponents, described, has_integer_form, in_integers, keys, offset
from tidegate.runtime.operators import Elementwise, IntegerLinear, IntegerLstm, IntegerMap, Linear, Map, Operator
from tidegate.runtime.operators.numbers.fixed import fixed_bits
from tidegate.runtime.program import Program, Reading
from tools.random_layers import lstm, matrix, rnn

RNG = np.random.default_rng(0)
OPS: tuple[Operator, ...] = (
    lstm(RNG, 0, (3, 2), Reading.FRAME, 16),
    Linear((1,), matrix(RNG, 2, 2, Reading.HIDDEN, 16), np.ones(2, np.float32)),
    Map((2,), "tanh"),
)
PROGRAM = Program(3, OPS, (("y", 3),), nodes=("lstm_out", "head", "head"))
EXPONENTS: dict[int, Exponents] = {0: {"input": 10, "state": [12, 9]}, 1: {"input": 14, "output": 11}, 2: {}}


def test_a_key_is_the_first_output_of_a_node_and_the_place_in_it() -> None:
    assert keys(PROGRAM) == [("lstm_out", 0), ("head", 0), ("head", 1)]


def test_described_exponents_make_the_integer_program() -> None:
    listed = described(PROGRAM, EXPONENTS)
    assert listed == {"lstm_out": [EXPONENTS[0]], "head": [EXPONENTS[1], EXPONENTS[2]]}
    cell, linear, function = in_integers(PROGRAM, listed).ops
    assert isinstance(cell, IntegerLstm)
    assert isinstance(linear, IntegerLinear)
    assert isinstance(function, IntegerMap)
    assert (cell.w.exponent, cell.r.exponent, cell.exponents.tolist()) == (10, fixed_bits(2) - 1, [12, 9])
    assert (linear.w.exponent, linear.exponent, linear.bias.tolist()) == (14, 11, [2**11] * 2)


def test_an_operation_without_exponents_stays_as_it_is() -> None:
    program = in_integers(PROGRAM, described(PROGRAM, {1: EXPONENTS[1]}))
    assert program.ops[0] is OPS[0]
    assert program.ops[2] is OPS[2]


def test_exponents_that_the_graph_does_not_have_are_refused() -> None:
    with pytest.raises(ModelError, match=r"the graph has no operation \('none', 0\); quantize the file again"):
        in_integers(PROGRAM, {"none": [{}]})


def test_exponents_that_do_not_fit_are_refused_by_node() -> None:
    for place, given in ((0, {"input": 10}), (1, {"input": 1, "output": 1, "state": 1}), (2, {"input": 3})):
        with pytest.raises(ModelError, match=f"'{PROGRAM.nodes[place]}': exponents .* do not fit the operation"):
            in_integers(PROGRAM, described(PROGRAM, {place: given}))
    with pytest.raises(ModelError, match="'head': input is 61, wanted 1 whole number of -40 to 60"):
        in_integers(PROGRAM, described(PROGRAM, {1: {"input": 61, "output": 0}}))


def test_only_some_operations_have_an_integer_form() -> None:
    four_bits = Linear((0,), matrix(RNG, 2, 2, Reading.FRAME, 16, weights=(4, 0)), np.ones(2, np.float32))
    without: list[Operator] = [
        four_bits,
        rnn(RNG, 0, (3, 2), Reading.FRAME, 16, function="tanh"),
        Map((0,), "exp"),
        Elementwise((0,), "mul", np.array([0, 1], np.float32)),
        Elementwise((0,), "max", np.ones(2, np.float32)),
    ]
    assert [has_integer_form(op) for op in (*OPS, *without)] == [True] * len(OPS) + [False] * len(without)


@pytest.mark.parametrize(("function", "wanted"), [("add", 2), ("sub", -2), ("from", 2), ("mul", 0), ("div", 0)])
def test_the_offset_is_what_an_operation_adds(function: str, wanted: float) -> None:
    assert offset(Elementwise((0,), function, np.full(1, 2, np.float32))).tolist() == [wanted]
