"""Answers: lines that read back exactly, files, and no file after a failure."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tidegate.commands._answers import csv_lines, write_file, write_lines
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ChunkError


def test_lines_read_back_as_the_same_float32() -> None:
    values = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)

    read = np.array([[float(text) for text in line.split(",")] for line in csv_lines(values).splitlines()], np.float32)

    assert np.array_equal(read, values)


@pytest.mark.parametrize(
    ("answer", "line"), [([1.5], "1.5\n"), ([[1.5, 2.0]], "1.5,2.0\n"), ([[[1.5], [2.0]]], "1.5,2.0\n")]
)
def test_an_answer_of_any_rank_is_one_line(answer: list[object], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines([np.array(answer, np.float32)])

    assert capsys.readouterr().out == line


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_a_file_keeps_the_shape_of_an_answer(shape: tuple[int, ...], tmp_path: Path) -> None:
    answers = [np.full((2, *shape), 1.5, np.float32), np.zeros((1, *shape), np.float32)]

    assert write_file(tmp_path / "y.npy", answers) == 3

    assert np.array_equal(np.load(tmp_path / "y.npy"), np.concatenate(answers))


def test_a_failing_stream_leaves_no_file(tmp_path: Path) -> None:
    def failing() -> Iterator[Array]:
        yield np.zeros((1, 2), np.float32)
        raise ChunkError("no")

    with pytest.raises(ChunkError):
        write_file(tmp_path / "y.npy", failing())

    assert list(tmp_path.iterdir()) == []


def test_no_answers_make_an_empty_file(tmp_path: Path) -> None:
    assert write_file(tmp_path / "y.csv", []) == 0
    assert (tmp_path / "y.csv").read_text() == ""


def test_a_closed_standard_output_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)

    with pytest.raises(ChunkError, match="there is no standard output, it is closed; give -o FILE"):
        write_lines([])
