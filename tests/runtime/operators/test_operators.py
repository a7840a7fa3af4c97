"""One list of operators: Python, C and the property tests name the same ones in the same order."""

import numpy as np
import pytest
from tidegate.runtime.arrays import Floats
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.operators import OPERATORS, Binary, Elementwise, FloatOperator, Map, Slice
from tidegate.runtime.operators.pointwise import BINARIES, CONSTANTS, MAPS, NUMBERS
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program
from tidegate.runtime.reference import ReferenceStream
from tools.random_programs import ADD, AT_AN_END
from tools.streams import contract_of

ALL_WIDTHS = 16384


def test_property_tests_draw_every_operator() -> None:
    assert set(OPERATORS) == set(ADD) | AT_AN_END


def magnitudes(seed: int, count: int) -> Floats:
    """Return floats of both signs and of every magnitude up to 2^64, with subnormal values and zeros."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 1 << 32, 4 * count, dtype=np.uint32)
    values = bits.view(np.float32)
    near = rng.normal(0, 4, 4 * count).astype(np.float32)
    mixed = np.where(rng.random(4 * count) < 0.5, near, values)
    return mixed[np.abs(mixed) <= 2.0**64][:count]


def equal_where_defined(op: FloatOperator, x: Floats) -> None:
    """Check that the engine equals the specification if all results are in range, and refuses the frame if not."""
    with np.errstate(all="ignore"):
        wanted = op.formula(*np.split(np.where(np.abs(x) < 2.0**-60, np.float32(0), x), len(op.inputs)))
    fine = np.tile(np.abs(wanted) <= 2.0**64, len(op.inputs))
    halves = [Slice((0,), i * wanted.size, wanted.size) for i in range(2)] if len(op.inputs) == 2 else []
    program = Program(x.size, (*halves, op), (("y", len(halves) + 1),))
    engine, reference = NativeModel(compile_program(program, contract_of(program))).stream(), ReferenceStream(program)
    if not np.all(fine):
        with pytest.raises(ChunkError, match="left 2"):
            engine.push(x[None])
    kept = np.where(fine, x, np.float32(1))[None]
    np.testing.assert_array_equal(engine.push(kept), reference.push(kept)["y"], strict=True)


@pytest.mark.parametrize("function", MAPS)
def test_row_2_function_of_one_value_at_every_magnitude(function: str) -> None:
    equal_where_defined(Map((0,), function, (0.5, 0.25)[: NUMBERS.get(function, 0)]), magnitudes(0, ALL_WIDTHS))


@pytest.mark.parametrize("function", CONSTANTS)
def test_function_with_a_constant_at_every_magnitude(function: str) -> None:
    constant = (2.0 ** np.random.default_rng(1).uniform(-60, 60, ALL_WIDTHS)).astype(np.float32)
    equal_where_defined(Elementwise((0,), function, constant), magnitudes(2, ALL_WIDTHS))


@pytest.mark.parametrize("function", BINARIES)
def test_function_of_two_values_at_every_magnitude(function: str) -> None:
    equal_where_defined(Binary((1, 2), function), magnitudes(3, ALL_WIDTHS))
