"""Feeds: a thread and a loop give the same chunks, and an error of a source comes after what it gave."""

from collections.abc import Iterator

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.clock import REAL
from tidegate.runtime.live.feeds import Chunker, Direct, Feed, Threaded
from tidegate.runtime.live.sources.source import Arrays, Block
from tidegate.runtime.live.waiting import Waiting
from tools.live import frames, small_model, with_gaps

MODEL = small_model()
X = frames(200)


def all_of(feed: Feed) -> list[tuple[int, int]]:
    found = []
    while chunk := feed.take():
        assert np.array_equal(chunk.frames, X[chunk.first : chunk.first + len(chunk.frames)])
        found.append((chunk.first, len(chunk.frames)))
    return found


def test_a_thread_gives_the_chunks_of_the_loop() -> None:
    found = []
    for threaded in (True, False):
        source = Arrays(list(with_gaps(X, [(50, 60)])))
        chunker, waiting = Chunker(MODEL, source, 6), Waiting(12, "wait")
        feed: Feed = (
            Threaded(source, chunker, waiting) if threaded else Direct(source, chunker, waiting, REAL, paced=False)
        )
        found.append(all_of(feed))
        feed.close()

    assert found[0] == found[1]
    assert sum(size for _, size in found[0]) == 190


class Dying:
    """A source that is gone after some rows."""

    name, waits, comes = "dying", True, True
    rate: float | None = None

    def blocks(self, rows: int) -> Iterator[Block]:
        yield Block(0, X[:rows])
        raise OSError("the cable was pulled")

    def close(self) -> None:
        pass


def test_an_error_of_a_source_comes_after_its_rows() -> None:
    feed = Threaded(Dying(), Chunker(MODEL, Dying(), 5), Waiting(50, "wait"))

    chunk = feed.take()
    assert chunk is not None
    assert len(chunk.frames) == 5
    with pytest.raises(OSError, match="the cable was pulled"):
        feed.take()


def test_rows_that_do_not_fit_end_the_thread_with_the_reason() -> None:
    source = Arrays([frames(4, 2)])
    source.comes = True
    feed = Threaded(source, Chunker(MODEL, source, 1), Waiting(50, "wait"))

    with pytest.raises(ChunkError, match="has 2 values in a row, the model takes frames of 3"):
        feed.take()
