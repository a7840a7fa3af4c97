"""Reads signals from .npy files, text files and standard input; writes answers to .npy, .csv and standard output."""

import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.files import write_atomic

LONGEST_LINE = 2**20  # characters; a hostile pipe may never end its line


def read_chunks(source: Path | None, frames: int) -> Iterator[tuple[str, Array]]:
    """Give a signal in chunks, each with its place in the signal (for error messages).

    Args:
        source: A .npy file `[frames, features]`, or a text file with one frame per line and commas between the values;
            None means text from standard input.
        frames: Frames per chunk; the last chunk may have fewer.

    Raises:
        ChunkError: The file is not a signal, or a line is not a frame.
        FileNotFoundError: The file does not exist.
    """
    if source is None:
        yield from _text_chunks(sys.stdin, "standard input", frames)
    elif source.suffix == ".npy":
        signal = read_array(source)
        for at in range(0, len(signal), frames):
            yield f"{source}, frame {at}", signal[at : at + frames]
    else:
        with source.open(encoding="utf-8") as file:
            yield from _text_chunks(file, str(source), frames)


def read_array(source: Path, *, ids: bool = False) -> Array:
    """Read a .npy file `[frames, features]`. Pickled objects are refused.

    Args:
        source: The file.
        ids: Whether the file may hold token ids instead, integers `[frames]`.

    Raises:
        ChunkError: The file does not hold such an array.
        FileNotFoundError: The file does not exist.
    """
    try:
        signal = np.load(source, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, TypeError):
        raise _not_an_array(source) from None
    if not isinstance(signal, np.ndarray):
        raise _not_an_array(source)
    if ids and signal.ndim == 1 and signal.dtype.kind in "iu":
        return signal.astype(np.int64)
    if signal.ndim != 2:
        raise ChunkError(f"{source}: has shape {signal.shape}, wanted (frames, features){' or ids' if ids else ''}")
    if not np.can_cast(signal.dtype, np.float32, "same_kind"):
        raise ChunkError(f"{source}: holds {signal.dtype}, wanted float32")
    return signal


def _not_an_array(source: Path) -> ChunkError:
    return ChunkError(f"{source}: not a .npy file of numbers, or a damaged one")


def _text_chunks(file: TextIO, name: str, frames: int) -> Iterator[tuple[str, Array]]:
    waiting: list[list[float]] = []
    place = ""
    for number, values in _text_frames(file, name):
        place = place or f"{name}, line {number}"
        waiting.append(values)
        if len(waiting) == frames:
            yield place, _as_float32(waiting)
            waiting, place = [], ""
    if waiting:
        yield place, _as_float32(waiting)


def _text_frames(file: TextIO, name: str) -> Iterator[tuple[int, list[float]]]:
    """Give the number and values of each line that is not empty; all lines must have the same number of values."""
    width = 0
    for number, line in enumerate(_lines(file, name), 1):
        if line.strip():
            values = [_number(text, f"{name}, line {number}") for text in line.split(",")]
            width = width or len(values)
            if len(values) != width:
                raise ChunkError(f"{name}, line {number}: {len(values)} values, wanted {width} as in the lines before")
            yield number, values


def _lines(file: TextIO, name: str) -> Iterator[str]:
    number = 1
    while True:
        try:
            line = file.readline(LONGEST_LINE)
        except UnicodeDecodeError:
            raise ChunkError(f"{name}, about line {number}: not text; wanted numbers separated by commas") from None
        if not line:
            return
        if len(line) == LONGEST_LINE:
            raise ChunkError(f"{name}, line {number}: longer than {LONGEST_LINE} characters")
        yield line
        number += 1


def _number(text: str, place: str) -> float:
    try:
        return float(text.strip() if "_" not in text else "")  # Python would accept 1_000
    except ValueError:
        seen = text.strip()[:40]
        raise ChunkError(f"{place}: {seen!r} is not a number; wanted numbers separated by commas") from None


def _as_float32(values: list[list[float]]) -> Floats:
    with np.errstate(over="ignore"):  # too large a value becomes infinity, which the stream refuses
        return np.asarray(values, np.float64).astype(np.float32)


def csv_lines(answer: Array) -> str:
    """Return an answer as lines of numbers, as short as possible so that they read back as the same float32."""
    return "".join(",".join(map(str, row)) + "\n" for row in np.atleast_2d(answer))


def write_lines(answers: Iterable[Array]) -> None:
    """Print each answer as soon as it is there, and flush, so that the reader of a pipe gets it at once."""
    for answer in answers:
        sys.stdout.write(csv_lines(answer))
        sys.stdout.flush()


def write_file(target: Path, answers: Iterable[Array]) -> int:
    """Write all answers to a .npy or .csv file, or none if one fails; return the number of answers."""
    rows = [np.atleast_2d(answer) for answer in answers]
    whole = np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)
    if target.suffix == ".csv":
        data = csv_lines(whole).encode() if len(whole) else b""
    else:
        buffer = io.BytesIO()
        np.save(buffer, whole, allow_pickle=False)
        data = buffer.getvalue()
    write_atomic(target, data)
    return len(whole)
