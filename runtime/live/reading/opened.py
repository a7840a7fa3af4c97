"""Opens files, pipes and standard input. The ending of the name, or else the first bytes, say of what kind they are."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...errors import ChunkError

STANDARD_INPUT = Path("-")
FIRST_BYTES = {b"\x93NUMPY": ".npy", b"PK\x03\x04": ".npz", b"RIFF": ".wav", b"fLaC": ".flac"}
TEXT = ""  # the kind of any other file


@dataclass(frozen=True)
class Opened:
    """An open source: its name for errors, its kind (an ending of `FIRST_BYTES`, or `TEXT`), and its bytes."""

    name: str
    kind: str
    file: BinaryIO


@contextmanager
def opened(source: Path) -> Iterator[Opened]:
    """Open a source. Its kind is the ending of its name, or is found by its first bytes, as in a pipe.

    Raises:
        ChunkError: There is no standard input, or a name of arrays or recordings is that of a pipe.
        FileNotFoundError: There is no such file.
    """
    name, kind = name_of(source), source.suffix.lower()
    if source == STANDARD_INPUT:
        if sys.stdin is None:
            raise ChunkError("there is no standard input, it is closed; give a file")
        file = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
    else:
        if kind in FIRST_BYTES.values():
            check_regular(source)
        file = source.open("rb")
    with file:
        if kind not in FIRST_BYTES.values():
            head = file.peek(8)
            kind = next((kind for first, kind in FIRST_BYTES.items() if head.startswith(first)), TEXT)
        yield Opened(name, kind, file)


def name_of(source: Path) -> str:
    """Return the name of a source, for messages."""
    return "standard input" if source == STANDARD_INPUT else str(source)


def check_regular(path: Path) -> None:
    """Refuse a pipe, which would wait for its writer. A pipe of text is read, if it is not one of a folder.

    Raises:
        ChunkError: It is no regular file.
    """
    if path.exists() and not path.is_file():
        raise ChunkError(f"{path}: not a regular file, wanted a signal")
