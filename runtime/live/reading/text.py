"""Signals as text: one frame per line; commas, semicolons, tabs or blanks between the values."""

import io
from collections.abc import Callable, Iterator
from itertools import count
from typing import BinaryIO

import numpy as np

from ...arrays import Array
from ...errors import ChunkError

LONGEST_LINE = 2**20  # characters; a hostile pipe may never end its line


Odd = Callable[[ChunkError], None]


def _refuse(error: ChunkError) -> None:
    raise error


def text_chunks(file: BinaryIO, name: str, frames: int, odd: Odd = _refuse) -> Iterator[tuple[str, Array]]:
    """Give the frames of a text in chunks, each with its place in the text; a chunk comes as soon as it is whole.

    Empty lines and lines that start with `#` are left out, and so is a first line of names. If values are separated by
    semicolons, a comma is a decimal point.

    Args:
        file: The text in UTF-8; a byte order mark is allowed.
        name: Its name, for places and errors.
        frames: Frames per chunk; the last chunk may have fewer.
        odd: Called with the error for a line that is not a frame; if it returns, the line is left out.

    Returns:
        The place of the first frame, `NAME, line N`, and the chunk, float64 `[frames, values]`.

    Raises:
        ChunkError: A line is not a frame, or has another number of values than the lines before.
    """
    waiting: list[list[float]] = []
    place = ""
    for number, values in _frames(file, name, odd):
        place = place or f"{name}, line {number}"
        waiting.append(values)
        if len(waiting) == frames:
            yield place, np.asarray(waiting, np.float64)
            waiting, place = [], ""
    if waiting:
        yield place, np.asarray(waiting, np.float64)


def _frames(file: BinaryIO, name: str, odd: Odd) -> Iterator[tuple[int, list[float]]]:
    """Give the number and the values of each line that holds a frame; all must have the same number of values."""
    width, names = 0, None
    for number, line in _lines(file, name):
        texts = _split(line)
        if not width and names is None and not any(map(_is_number, texts)):
            names = number, texts
            continue
        try:
            values = _numbers(texts, width, f"{name}, line {number}")
        except ChunkError as error:
            odd(error)
            continue
        width = len(values)
        yield number, values
    if names is not None and not width:  # a line of names, and no frame after it
        _numbers(names[1], 0, f"{name}, line {names[0]}")


def _lines(file: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """Give the number and the text of each line that is not empty and not a comment."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig")
    try:
        for number in count(1):
            line = text.readline(LONGEST_LINE)
            if not line:
                return
            if len(line) == LONGEST_LINE:
                raise ChunkError(f"{name}, line {number}: longer than {LONGEST_LINE} characters")
            if (line := line.strip()) and not line.startswith("#"):
                yield number, line
    except UnicodeDecodeError:
        raise ChunkError(
            f"{name}, about line {number}: not text in UTF-8; wanted numbers separated by commas, or a .npy, .npz, "
            ".wav or .flac file"
        ) from None
    finally:
        text.detach()  # the file is closed where it was opened


def _split(line: str) -> list[str]:
    """Return the values of a line as texts."""
    if ";" in line:
        return _bare(line.replace(",", ".").split(";"))
    return _bare(line.split(",") if "," in line else line.split())


def _bare(texts: list[str]) -> list[str]:
    """Return texts without the blanks and quotation marks around them."""
    return [text.strip(' \t"') for text in texts]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python would accept 1_000


def _numbers(texts: list[str], width: int, place: str) -> list[float]:
    """Return the numbers of a line, which has so many values; 0: any number."""
    for text in texts:
        if not _is_number(text):
            raise ChunkError(f"{place}: {text[:40]!r} is not a number; wanted numbers separated by commas")
    if width not in (0, len(texts)):
        raise ChunkError(f"{place}: {len(texts)} values, wanted {width} as in the lines before")
    return list(map(float, texts))
