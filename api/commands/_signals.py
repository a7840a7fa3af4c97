"""Signals from and to files and pipes: .npy, .csv, standard input and output."""

import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.files import write_atomic

LONGEST_LINE = 2**20  # characters; a hostile pipe may never send a line's end


def read_chunks(source: Path | None, frames: int) -> Iterator[tuple[str, Array]]:
    """Give a signal in chunks of at most `frames` frames, each with its place for messages.

    Args:
        source: A .npy file `[frames, features]`, or text with a frame a line, values separated by commas;
            None is standard input, text.
        frames: Frames of a chunk; the last may have fewer.

    Raises:
        ChunkError: The file or a line of it is not what it should be.
        FileNotFoundError: There is no such file.
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
    """Read a .npy file `[frames, features]`; nothing in it is ever unpickled.

    Args:
        source: The file.
        ids: Whether it may hold token ids too, integers `[frames]`.

    Raises:
        ChunkError: It is not such a file.
        FileNotFoundError: There is no such file.
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
    """Give each line's number and values; empty lines are passed over, all others have equally many."""
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
        return float(text.strip() if "_" not in text else "")  # Python's own 1_000 is no number of a table
    except ValueError:
        seen = text.strip()[:40]
        raise ChunkError(f"{place}: {seen!r} is not a number; wanted numbers separated by commas") from None


def _as_float32(values: list[list[float]]) -> Floats:
    with np.errstate(over="ignore"):  # becomes infinity, which the stream refuses
        return np.asarray(values, np.float64).astype(np.float32)


def csv_lines(answer: Array) -> str:
    """Return an answer as lines of numbers, the shortest that read back as the same float32."""
    return "".join(",".join(map(str, row)) + "\n" for row in np.atleast_2d(answer))


def write_lines(answers: Iterable[Array]) -> None:
    """Print answers as they come, each flushed, so that a pipe has it at once."""
    for answer in answers:
        sys.stdout.write(csv_lines(answer))
        sys.stdout.flush()


def write_file(target: Path, answers: Iterable[Array]) -> int:
    """Write answers to a .npy or .csv file, all or nothing, and return their number of rows."""
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
