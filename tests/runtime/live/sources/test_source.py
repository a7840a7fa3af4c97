"""Arrays as a source: cut into blocks, with gaps where the caller says so."""

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.sources.source import Arrays, Block, as_rows
from tools.live import frames


def test_arrays_and_blocks_are_cut_and_keep_their_places() -> None:
    x = frames(10)

    found = list(Arrays([x[:5], Block(8, x[8:]), x[:1]]).blocks(3))

    assert [(block.at, len(block.rows)) for block in found] == [(0, 3), (3, 2), (8, 2), (10, 1)]
    assert np.array_equal(found[2].rows, x[8:])


def test_a_row_of_one_value_needs_no_second_axis() -> None:
    assert as_rows(np.arange(3), "x").tolist() == [[0], [1], [2]]
    assert as_rows(np.zeros((0,)), "x").shape == (0, 1)


@pytest.mark.parametrize("values", [np.array("text"), np.float32(3), np.array(["a", "b"])])
def test_what_is_no_numbers_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ChunkError, match=r"x: holds .*, wanted numbers \(rows, values\)"):
        as_rows(values, "x")
