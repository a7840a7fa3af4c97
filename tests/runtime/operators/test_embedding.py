"""A table by ids."""

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.operators import Embedding
from tidegate.runtime.program import Reading
from tools.random_layers import matrix

FLOATS = np.array([[1, 2], [3, 1e-30], [5, 6]], np.float32)


def ids(value: float) -> np.ndarray:
    return np.array([value], np.float32)


def test_an_id_gives_its_row_with_tiny_values_as_zero() -> None:
    op = Embedding((0,), FLOATS)
    assert (op.rows, op.width([1])) == (3, 2)
    assert op.step((), ids(1))[0].tolist() == [3, 0]


def test_the_id_may_be_one_of_several_features() -> None:
    op = Embedding((0,), FLOATS, 2)
    assert op.step((), np.array([0.5, 9, 2], np.float32))[0].tolist() == [5, 6]
    assert op.record().counts == (3, 2, 2)


def test_a_row_of_codes_is_multiplied_by_its_scale() -> None:
    table = matrix(np.random.default_rng(0), 4, 5, Reading.FRAME, 16)
    wanted = table.codes[2].astype(np.float32) * table.scales[2]
    np.testing.assert_array_equal(Embedding((0,), table).step((), ids(2))[0], wanted)


@pytest.mark.parametrize("value", [-1, 3, 0.5, np.nan])
def test_another_id_is_refused(value: float) -> None:
    with pytest.raises(ChunkError, match="is not in the table of 3 rows; chunk refused, state unchanged"):
        Embedding((0,), FLOATS).step((), ids(value))
