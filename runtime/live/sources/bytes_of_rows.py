"""Rows from a stream of bytes: raw numbers, or lines of text."""

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import numpy as np

from ...errors import ChunkError
from ..reading.text import text_chunks
from .pcm import TEXT, Decoder, Form
from .source import Block

Note = Callable[[str, str], None]
"""Takes the kind of a fault, by which faults are counted, and one line about it."""


def quiet(_kind: str, _text: str) -> None:
    """Take a note and say nothing."""


def raw_blocks(read: Callable[[int], bytes], form: Form, rows: int, name: str, note: Note) -> Iterator[Block]:
    """Give raw numbers until `read` returns nothing. A row that is not whole at the end is left out.

    Args:
        read: Returns up to so many bytes as soon as there are some.
        form: How the numbers are written.
        rows: Rows of a block, at most.
        name: What messages call the source.
        note: Takes what is odd.
    """
    decoder, at = Decoder(form), 0
    while data := read(rows * form.row_bytes):
        values = decoder.take(data)
        if len(values):
            yield Block(at, values)
            at += len(values)
    if decoder.left:
        note("half a row", f"{name}: ended within a row: {decoder.left} of {form.row_bytes} bytes are left out")


def line_blocks(file: io.BufferedIOBase, name: str, note: Note, *, strict: bool, scale: float) -> Iterator[Block]:
    """Give a row for each line, as soon as the line is whole.

    Args:
        file: The text.
        name: What messages call the source.
        note: Takes what is odd.
        strict: A line that is no row ends the stream. Else it is a lost row, and noted.
        scale: What each number is multiplied with.

    Raises:
        ChunkError: A line is no row.
    """
    at = 0

    def odd(error: ChunkError) -> None:
        nonlocal at
        if strict:
            raise error
        note("a line that is no row", f"{error}; the row counts as lost")
        at += 1

    for _, values in text_chunks(cast("BinaryIO", file), name, 1, odd):
        yield Block(at, (values * scale).astype(np.float32))
        at += 1


def blocks_of(
    file: io.BufferedIOBase,
    form: Form,
    rows: int,
    name: str,
    note: Note,
    *,
    strict: bool,
    read: Callable[[int], bytes] | None = None,
) -> Iterator[Block]:
    """Give the rows of a stream of bytes, raw or as text; `read` reads raw ones, else they come as soon as they can."""
    if form.name == TEXT:
        return line_blocks(file, name, note, strict=strict, scale=form.factor)
    return raw_blocks(read or file.read1, form, rows, name, note)


def message_blocks(data: bytes, at: int, form: Form, name: str, note: Note) -> Iterator[Block]:
    """Give the rows of a message, which are whole, from a number on."""
    rows = len(data) + 1  # more than there are
    for block in blocks_of(io.BytesIO(data), form, rows, f"{name}, a message", note, strict=False):
        yield Block(at + block.at, block.rows)
