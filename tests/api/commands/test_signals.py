"""Signals: reading them in chunks, refusing bad lines with their place, writing answers."""

import io
from pathlib import Path

import numpy as np
import pytest
from tidegate.commands._signals import csv_lines, read_array, read_chunks, write_file, write_lines
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ChunkError

FRAMES = np.array([[1.5, -2.0], [0.1, 3e-8], [7.0, 8.0]], np.float32)


def chunks_of(source: Path | None, frames: int = 1) -> list[Array]:
    """Return the chunks of a signal."""
    return [chunk for _, chunk in read_chunks(source, frames)]


@pytest.mark.parametrize("suffix", [".csv", ".npy"])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_file_is_read_back_in_chunks(suffix: str, frames: int, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    write_file(path, [FRAMES])

    chunks = chunks_of(path, frames)

    assert [len(chunk) for chunk in chunks] == [min(frames, 3 - at) for at in range(0, 3, frames)]
    assert np.array_equal(np.concatenate(chunks), FRAMES)
    assert chunks[0].dtype == np.float32


def test_standard_input_is_read_and_empty_lines_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("1, 2\n\n3,4\n"))

    assert list(map(np.ndarray.tolist, chunks_of(None))) == [[[1, 2]], [[3, 4]]]


def test_a_chunk_is_given_as_soon_as_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader does not wait for the line after the chunk."""
    source = io.StringIO("1,2\n3,4\n5,6\n")
    monkeypatch.setattr("sys.stdin", source)

    next(iter(read_chunks(None, 2)))

    assert source.readline() == "5,6\n"


def test_places_count_lines_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("1\n\n2\n3\n")

    assert [place for place, _ in read_chunks(path, 2)] == [f"{path}, line 1", f"{path}, line 4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3\n", "line 2: 1 values, wanted 2"),
        ("1,2\n\n3,four\n", "line 3: 'four' is not a number"),
        ("1,\n", "line 1: '' is not a number"),
        ("1_000\n", "line 1: '1_000' is not a number"),
        ("x" * 100, f"line 1: '{'x' * 40}' is not a number"),
        ("1" * 2**20, "line 1: longer than 1048576 characters"),
    ],
)
def test_a_bad_line_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)

    with pytest.raises(ChunkError, match=message):
        chunks_of(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ChunkError, match="not text"):
        chunks_of(path)


def test_numbers_beyond_float32_become_infinite_and_not_wrong(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("1e39\n")

    assert np.isinf(chunks_of(path)[0]).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3, np.float32), r"shape \(3,\), wanted \(frames, features\)"),
        (np.zeros((3, 2), np.complex64), "holds complex64, wanted float32"),
        (np.array([[{}]], object), "not a .npy file of numbers"),
    ],
)
def test_an_array_that_is_no_signal_is_refused(array: Array, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)

    with pytest.raises(ChunkError, match=message):
        read_array(tmp_path / "x.npy")


@pytest.mark.parametrize("damage", ["text", "truncated", "archive", "empty"])
def test_a_file_that_is_no_array_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((100, 2), np.float32))
    whole = path.read_bytes()
    archive = io.BytesIO()
    np.savez(archive, x=FRAMES)
    path.write_bytes({"text": b"1,2", "truncated": whole[:300], "archive": archive.getvalue(), "empty": b""}[damage])

    with pytest.raises(ChunkError, match=r"not a \.npy file of numbers, or a damaged one"):
        read_array(path)


def test_lines_read_back_as_the_same_float32() -> None:
    values = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)

    read = np.array([[float(text) for text in line.split(",")] for line in csv_lines(values).splitlines()], np.float32)

    assert np.array_equal(read, values)


def test_an_answer_without_time_axis_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(iter([np.array([1.5, 2.0], np.float32)]))

    assert capsys.readouterr().out == "1.5,2.0\n"


def test_a_failing_stream_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> "list[Array]":
        raise ChunkError("no")

    with pytest.raises(ChunkError):
        write_file(tmp_path / "y.npy", (fail()[0] for _ in range(1)))

    assert list(tmp_path.iterdir()) == []


def test_no_answers_make_an_empty_file(tmp_path: Path) -> None:
    assert write_file(tmp_path / "y.csv", []) == 0
    assert (tmp_path / "y.csv").read_text() == ""
