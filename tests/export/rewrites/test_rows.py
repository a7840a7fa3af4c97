"""Rows between two answers: found by what the recurrent layer reads, and cut into frames."""

import numpy as np
from tidegate.export.rewrites.rows import STREAMS, Rows, find_rows
from tools.foreign_files import ForeignFile


def test_rows_are_found_by_what_the_layer_reads() -> None:
    """Without a stride there are none, and the signal stays as it is."""
    for stride, wanted in ((1, None), (3, Rows(3, 2, 0, (4,), STREAMS, 3))):
        file = ForeignFile()
        x = file.input("x", ("batch", 4, "rows"))
        y = file.add("Conv", [x, file.weight(5, 4, 5)], strides=[stride])
        file.output(file.cell("LSTM", file.add("Transpose", [y], perm=[2, 0, 1]), 5, 3)[0], (None, 1, None, 3))
        found = find_rows(file.model(), "x", (0, 2))
        assert found == wanted


def test_rows_go_into_frames_and_back() -> None:
    rows = Rows(3, 2, 0, (4,), STREAMS, 2)
    signal = np.arange(2 * 4 * 7, dtype=np.float32).reshape(2, 4, 7)
    frames = rows.frames(signal)
    assert frames.shape == (2, 2, 3, 4)
    np.testing.assert_array_equal(rows.taken(frames)[..., :6], signal[..., :6])
    np.testing.assert_array_equal(rows.taken(frames)[..., 6:], np.zeros((2, 4, 2)))
    assert Rows(3, 1, 0, (1,), STREAMS).frames(np.zeros((1, 7, 1))).shape == (1, 2, 3)
