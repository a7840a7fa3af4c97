"""Differences of answers, relative to the largest value."""

import numpy as np
import pytest
from tidegate.export.proof.comparison import peak_error


@pytest.mark.parametrize(
    ("seen", "wanted", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.5], [1.0, 2.0], 0.25),
        ([0.0], [0.0], 0.0),
        ([1e-9], [0.0], np.inf),
        ([np.nan], [1.0], np.inf),
        ([1.0], [np.inf], np.inf),
        ([], [], 0.0),
    ],
)
def test_peak_error(seen: list[float], wanted: list[float], error: float) -> None:
    assert peak_error(np.array(seen), np.array(wanted)) == error
