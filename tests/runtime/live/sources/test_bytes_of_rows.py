"""Streams of bytes: raw rows and lines, and what is odd in them."""

import io

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.sources.bytes_of_rows import blocks_of
from tidegate.runtime.live.sources.pcm import Form

LINES = b"a,b\n1,2\n3;4\n\n5,x\n# a remark\n6\n7 8\n"


def rows_of(data: bytes, form: Form, *, strict: bool = False) -> tuple[list[tuple[int, list[float]]], list[str]]:
    notes: list[str] = []
    blocks = blocks_of(io.BytesIO(data), form, 4, "wire", lambda _, text: notes.append(text), strict=strict)
    return [(block.at + i, row.tolist()) for block in blocks for i, row in enumerate(block.rows)], notes


def test_a_line_that_is_no_row_is_a_lost_row_and_a_note() -> None:
    found, notes = rows_of(LINES, Form(scale=2))

    assert found == [(0, [2, 4]), (1, [6, 8]), (4, [14, 16])]
    assert notes == [
        "wire, line 5: 'x' is not a number; wanted numbers separated by commas; the row counts as lost",
        "wire, line 7: 1 values, wanted 2 as in the lines before; the row counts as lost",
    ]


def test_where_lines_must_be_rows_one_that_is_none_ends_the_stream() -> None:
    with pytest.raises(ChunkError, match="wire, line 5: 'x' is not a number"):
        rows_of(LINES, Form(), strict=True)


def test_half_a_row_at_the_end_is_a_note() -> None:
    found, notes = rows_of(np.arange(5, dtype="<i2").tobytes() + b"\7", Form("s16le", 2, 1))

    assert found == [(0, [0, 1]), (1, [2, 3])]
    assert notes == ["wire: ended within a row: 3 of 4 bytes are left out"]
