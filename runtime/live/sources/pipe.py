"""Standard input as a source."""

import sys
from collections.abc import Iterator

from ...errors import ChunkError
from .bytes_of_rows import Note, blocks_of, quiet
from .pcm import Form
from .source import Block


class StandardInput:
    """Raw numbers or lines from standard input.

    Raises:
        ChunkError: There is no standard input.
    """

    name = "standard input"
    waits, comes = True, True

    def __init__(self, form: Form, rate: float | None = None, note: Note = quiet) -> None:
        if sys.stdin is None:
            raise ChunkError("there is no standard input, it is closed; give another source")
        self.rate, self._form, self._note = rate, form, note
        self._file = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115  closed below

    def blocks(self, rows: int) -> Iterator[Block]:
        """Give the rows in order; see `Source.blocks`."""
        return blocks_of(self._file, self._form, rows, self.name, self._note, strict=True)

    def close(self) -> None:
        """Leave standard input as it is: closing it would wait for a thread that reads it."""
