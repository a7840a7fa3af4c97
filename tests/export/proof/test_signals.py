"""Signals for a proof."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.export.proof.signals import FreshData, chunkings, cut, time_axis
from tidegate.runtime.contract import Port
from tidegate.runtime.errors import ExportError


def test_fresh_data_has_the_scale_and_range_of_the_example() -> None:
    example = np.stack([np.linspace(0, 1, 50), np.linspace(100, 300, 50)], -1)[None].astype(np.float32)
    fresh = FreshData(example, Port("x", 1, 0))
    made = fresh(5000, 3)
    assert made.shape == (3, 5000, 2)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made.mean((0, 1)), example.mean((0, 1)), rtol=0.1)
    assert made.min() >= example.min()
    assert made.max() <= example.max()
    assert (fresh.length, fresh.batch) == (50, 1)


def test_fresh_data_of_a_silent_example_is_not_silent() -> None:
    assert FreshData(np.zeros((1, 4, 2), np.float32), Port("x", 1, 0))(4, 1).std() > 0.1


def test_fresh_ids_are_ids_of_the_example() -> None:
    fresh = FreshData(np.array([[3, 5, 9]]), Port("x", 1, 0))
    assert set(fresh(100, 2).flat) == {3, 5, 9}


def test_data_that_cannot_be_negative_stays_so() -> None:
    """Noise stays in the example's range, because a forward may take a logarithm or a root."""
    example = np.abs(np.random.default_rng(1).standard_normal((1, 9, 3))).astype(np.float32)
    assert FreshData(example, Port("x", 1, 0))(100, 4).min() > 0


@given(st.integers(1, 60))
def test_every_chunking_is_whole_and_the_first_goes_frame_by_frame(length: int) -> None:
    made = list(chunkings(length))
    assert made[0] == [1] * length
    assert all(sum(chunks) == length and min(chunks) > 0 for chunks in made)


def test_cut_takes_frames_along_any_axis() -> None:
    x = np.arange(12).reshape(2, 3, 2)
    assert np.array_equal(cut(x, 1, 1, 3), x[:, 1:3])
    assert np.array_equal(cut(x, 0, 0, 1), x[:1])


def test_an_input_without_a_time_axis_is_refused() -> None:
    with pytest.raises(ExportError, match="input 'x' has no time axis"):
        time_axis(Port("x", None, 0))
