"""Files as sources: recordings, arrays, and text, read piece by piece."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import ChunkError
from ..reading.arrays import array_pieces, recording_blocks
from ..reading.opened import Opened, opened
from ..reading.text import text_chunks
from .source import Block, as_rows

RECORDINGS = (".wav", ".flac")


class File:
    """A file: .wav and .flac recordings give samples, .npy and text give frames.

    Args:
        path: The file.
        rate: Rows per second of a file that does not say it.

    Raises:
        FileNotFoundError: There is no such file.
        ChunkError: It is not one that a source can be.
    """

    waits, comes = True, False

    def __init__(self, path: Path, rate: float | None = None) -> None:
        self.name, self.rate = str(path), rate
        self._context: Any = opened(path)
        self._found: Opened = self._context.__enter__()
        self._size = os.fstat(self._found.file.fileno()).st_size
        if self._found.kind in RECORDINGS:
            self.rate, self._samples = recording_blocks(self._found.file, self._size, self.name)
            if rate not in (None, self.rate):
                raise ChunkError(f"{self.name}: has {self.rate} samples per second, not {rate:g}; leave the rate out")

    def blocks(self, rows: int) -> Iterator[Block]:
        """Give the rows in order; see `Source.blocks`."""
        at, found = 0, self._found
        if found.kind in RECORDINGS:
            pieces: Iterator[Any] = self._samples(rows)
        elif found.kind == ".npy":
            pieces = array_pieces(found.file, self._size, self.name, rows)
        elif found.kind == ".npz":
            raise ChunkError(f"{self.name}: holds several arrays; give one as .npy, with the signals side by side")
        else:
            pieces = (values for _, values in text_chunks(found.file, self.name, rows))
        for piece in pieces:
            values = as_rows(piece, self.name)
            yield Block(at, values)
            at += len(values)

    def close(self) -> None:
        """Close the file."""
        self._context.__exit__(None, None, None)
