"""Rounding the sums of a program: codes, scales and biases of every cell, and the quantized program."""

import numpy as np
import pytest
from tidegate.quant.moments.moments import Key, Moments, gather
from tidegate.quant.moments.sums import matrix, sums_of
from tidegate.quant.observing.calibration_streams import Streams
from tidegate.quant.rounding.compensated import damped, error_of
from tidegate.quant.rounding.nearest import to_nearest
from tidegate.quant.rounding.precision import Precision
from tidegate.quant.rounding.rounded_program import Rounding, fields_of, quantized, round_program
from tidegate.runtime.arrays import Array
from tidegate.runtime.operators import Linear
from tidegate.runtime.operators.matrix import Reading
from tidegate.runtime.program import Program
from tools.float_programs import FEATURES, FLOAT_WEIGHTS, KINDS, layer_and_head, observed
from tools.random_layers import lstm
from tools.random_layers import matrix as random_matrix


def moments_of(program: Program) -> dict[Key, Moments]:
    """Return the plain moments of slowly moving streams."""
    walk = np.cumsum(np.random.default_rng(1).normal(0, 0.3, (400, FEATURES)), 0)
    frames = (np.sin(walk).astype(np.float32),)
    streams = Streams(frames, (np.zeros(400, bool),), complete=True)
    return gather(program, observed(program, streams), [1.0], ["compensated"], lambda _: None)["compensated"]


def rounding(program: Program, precision: Precision, moments: dict[Key, Moments] | None) -> Rounding:
    return round_program(program, dict.fromkeys(fields_of(program).values(), precision), moments)


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_has_a_field_but_a_shared_weight_has_none(kind: str) -> None:
    program = layer_and_head(kind)
    fields = fields_of(program)
    assert {matrix(program.ops[index], field).name for index, field in fields.values()} == set(fields)
    shared = Program(FEATURES, (program.ops[0], program.ops[1], program.ops[1]), (("y", 3),))
    assert set(fields) - set(fields_of(shared)) == {"head"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["W4A16", "W8A8", "W16A16", "W4A16g8"])
def test_without_moments_every_matrix_is_rounded_to_nearest(kind: str, text: str) -> None:
    program, precision = layer_and_head(kind), Precision.parse(text)
    made = rounding(program, precision, None)
    assert made.biases == {}
    for (index, field), one in made.matrices.items():
        expected = to_nearest(matrix(program.ops[index], field).codes, precision)
        np.testing.assert_array_equal(one.codes, expected.codes, strict=True)
        np.testing.assert_array_equal(one.scales, expected.scales, strict=True)


@pytest.mark.parametrize("kind", KINDS)
def test_with_moments_every_sum_errs_less_than_rounded_to_nearest(kind: str) -> None:
    """The error is e^T H e, over all matrices of the sum together."""
    program = layer_and_head(kind)
    moments = moments_of(program)
    made, plain = (rounding(program, Precision(4), given) for given in (moments, None))
    for index, op in enumerate(program.ops):
        for number, one in enumerate(sums_of(op)):
            widths = [matrix(op, field).codes.shape[1] for field in one.matrices]
            of_sum = moments[index, number]
            hessian = damped(of_sum.covariance if one.bias else of_sum.second, widths, 1e-2)
            exact = np.concatenate([matrix(op, field).codes[one.channels] for field in one.matrices], 1)

            def error(found: Rounding, exact: Array = exact, hessian: Array = hessian) -> Array:
                values = [found.matrices[index, field].values[one.channels] for field in one.matrices]  # noqa: B023
                return error_of(exact - np.concatenate(values, 1), hessian)

            assert np.all(error(made) <= error(plain) * (1 + 1e-9))


@pytest.mark.parametrize("kind", KINDS)
def test_errors_of_a_sum_with_a_bias_are_zero_on_average(kind: str) -> None:
    """The bias takes up the mean error of W x + R h on the streams."""
    program = layer_and_head(kind)
    moments = moments_of(program)
    made = rounding(program, Precision(4), moments)
    for index, op in enumerate(program.ops):
        for number, one in enumerate(sums_of(op)):
            errors = [
                made.matrices[index, field].values[one.channels] - matrix(op, field).codes[one.channels]
                for field in one.matrices
            ]
            mean = np.concatenate(errors, 1) @ moments[index, number].mean[0]
            assert np.max(np.abs(mean)) > 1e-4
            if one.bias:
                np.testing.assert_allclose(mean + made.biases[index, one.bias][one.bias_channels], 0, atol=1e-5)


def test_only_the_given_matrices_are_rounded_and_float32_rounds_none() -> None:
    program = layer_and_head("lstm")
    moments = moments_of(program)
    made = round_program(program, {(0, "r"): Precision(4), (1, "w"): Precision.parse("float32")}, moments)
    assert set(made.matrices) == {(0, "r")}
    found = quantized(program, made)
    assert [m.weight_bits for op in found.ops for m in op.record().matrices] == [32, 4, 32]


def test_progress_counts_every_weight_once() -> None:
    program, counts = layer_and_head("lstm"), list[int]()
    fields = dict.fromkeys(fields_of(program).values(), Precision())
    round_program(program, fields, moments_of(program), counts.append)
    assert sum(counts) == sum(m.codes.size for op in program.ops for m in op.record().matrices)


@pytest.mark.parametrize(
    ("text", "columns", "bits", "group"),
    [("W8A16", 3, 16, 0), ("W8A8", 3, 8, 0), ("W8A16", 600, 15, 0), ("W4A8g8", 20, 8, 8), ("W4A8g8", 5, 8, 0)],
)
def test_a_quantized_matrix_has_the_bits_that_its_sums_allow(text: str, columns: int, bits: int, group: int) -> None:
    """A group of all inputs counts as no group; with many inputs, activations have fewer bits."""
    weights = random_matrix(np.random.default_rng(0), 2, columns, Reading.FRAME, 16, weights=FLOAT_WEIGHTS)
    program = Program(columns, (Linear((0,), weights, np.zeros(2, np.float32)),), (("y", 1),))
    made = Rounding({(0, "w"): to_nearest(weights.codes, Precision.parse(text))})
    (found,) = quantized(program, made).ops[0].record().matrices
    assert (found.bits, found.group, found.weight_bits) == (bits, group, int(text[1]))
    assert found.name == weights.name


def test_corrections_are_added_to_biases() -> None:
    program = Program(FEATURES, (lstm(np.random.default_rng(0), 0, (FEATURES, 2), Reading.FRAME, 16),), (("y", 1),))
    added = np.arange(8, dtype=np.float32)
    (before,), (after,) = program.ops, quantized(program, Rounding({}, {(0, "bias"): added})).ops
    np.testing.assert_array_equal(after.bias, before.bias + added)  # type: ignore[attr-defined]
