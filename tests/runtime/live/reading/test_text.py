"""Signals as text: separators, names of columns, chunks as soon as they are whole, and bad lines with their place."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.reading.text import text_chunks

WANTED = [[1.5, -2.0], [0.25, 3e-8]]


def frames_of(text: str | bytes) -> list[list[float]]:
    """Return the frames of a text, one chunk each."""
    data = text.encode() if isinstance(text, str) else text
    return [chunk[0].tolist() for _, chunk in text_chunks(io.BytesIO(data), "x.csv", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "1.5,-2.0\n0.25,3e-8\n",
        "1.5 , -2\n\n  \n.25,3e-8",
        "1.5;-2\n0.25;3e-8\n",
        "1,5;-2\n0,25;3e-8\n",
        "1.5 -2\n0.25   3e-8\n",
        "1.5\t-2\n0.25\t3e-8\n",
        "1.5,-2\r\n0.25,3e-8\r\n",
        '"1.5","-2"\n"0.25","3e-8"\n',
    ],
    ids=["commas", "blank lines", "semicolons", "decimal commas", "blanks", "tabs", "windows", "quoted"],
)
@pytest.mark.parametrize("head", ["", "left,right\n", '\n"left (m/s)"; "right"\n', "# left right\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_usual_text_gives_the_same_frames(text: str, head: str, mark: str) -> None:
    assert frames_of(mark + head + text) == WANTED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3\n", "line 2: 1 values, wanted 2"),
        ("1,2\n\n3,four\n", "line 3: 'four' is not a number"),
        ("1,2\nx,y\n", "line 2: 'x' is not a number"),
        ("x,y\nz,w\n1,2\n", "line 2: 'z' is not a number"),
        ("x,2\n1,2\n", "line 1: 'x' is not a number"),
        ("1,\n", "line 1: '' is not a number"),
        ("1,2 3\n", "line 1: '2 3' is not a number"),
        ("1_000\n", "line 1: '1_000' is not a number"),
        ("x" * 100, f"line 1: '{'x' * 40}' is not a number"),
        ("1" * 2**20, "line 1: longer than 1048576 characters"),
    ],
)
def test_a_bad_line_is_named(text: str, message: str) -> None:
    with pytest.raises(ChunkError, match=f"x.csv, {message}"):
        frames_of(text)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", "1,2\n".encode("utf-16"), b"1,2\n\x80"])
def test_bytes_that_are_no_text_are_refused(data: bytes) -> None:
    with pytest.raises(ChunkError, match=r"x\.csv, about line \d: not text in UTF-8; wanted numbers .* or a \.npy"):
        frames_of(data)


def test_no_line_gives_no_frame() -> None:
    assert frames_of("") == frames_of("\n# nothing\n") == []


def test_places_count_lines_of_the_file() -> None:
    found = text_chunks(io.BytesIO(b"a\n1\n\n2\n3\n"), "x.csv", 2)

    assert [place for place, _ in found] == ["x.csv, line 2", "x.csv, line 5"]


def test_a_chunk_is_given_as_soon_as_it_is_whole() -> None:
    """The reader does not wait for the line after the chunk: here it would wait for ever."""
    source, target = os.pipe()
    with open(source, "rb") as file, open(target, "wb", buffering=0) as writer:  # noqa: PTH123  descriptors
        writer.write(b"1,2\n3,4\n")
        _, chunk = next(text_chunks(file, "pipe", 2))

    assert np.array_equal(chunk, [[1, 2], [3, 4]])


def test_a_file_on_disk_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1\n2\n3\n")
    with (tmp_path / "x.csv").open("rb") as file:
        assert [len(chunk) for _, chunk in text_chunks(file, "x.csv", 2)] == [2, 1]
