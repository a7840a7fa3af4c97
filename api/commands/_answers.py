"""Writes answers: to .npy and .csv files, and line by line to standard output."""

import io
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.files import write_atomic


def csv_lines(answer: Array) -> str:
    """Return answers `[answers, ...]` as lines of numbers, as short as reading back the same float32 allows."""
    return "".join(",".join(map(str, row.ravel())) + "\n" for row in answer)


def write_lines(answers: Iterable[Array]) -> None:
    """Print each answer as soon as it is there, and flush, so that the reader of a pipe gets it at once.

    Args:
        answers: Each `[answers, ...]`.

    Raises:
        ChunkError: There is no standard output.
    """
    if sys.stdout is None:
        raise ChunkError("there is no standard output, it is closed; give -o FILE")
    for answer in answers:
        sys.stdout.write(csv_lines(answer))
        sys.stdout.flush()


def write_file(target: Path, answers: Iterable[Array]) -> int:
    """Write all answers, each `[answers, ...]`, to a .npy or .csv file, or none if one fails; return their number."""
    given = list(answers)
    whole = np.concatenate(given) if given else np.zeros((0, 0), np.float32)
    if target.suffix.lower() == ".csv":
        data = csv_lines(whole).encode()
    else:
        buffer = io.BytesIO()
        np.save(buffer, whole, allow_pickle=False)
        data = buffer.getvalue()
    write_atomic(target, data)
    return len(whole)
