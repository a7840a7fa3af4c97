"""The queue: bounded, and every chunk is taken or counted as dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.runtime.live.waiting import Chunk, Late, Waiting
from tools.live import frames


def put(waiting: Waiting, first: int, size: int) -> None:
    waiting.put(Chunk(first, frames(size), 0.0))


@given(st.sampled_from(["oldest", "skip"]), st.lists(st.integers(0, 5), max_size=60), st.integers(5, 20))
def test_every_frame_is_taken_dropped_or_waits(late: Late, sizes: list[int], most: int) -> None:
    """0 takes a chunk, another number puts one of so many frames."""
    waiting, first, taken = Waiting(most, late), 0, []
    for size in sizes:
        if size:
            put(waiting, first, size)
            first += size
        elif chunk := waiting.take():
            taken.append(chunk)
            missing = chunk.first - sum(len(each.frames) for each in taken[:-1])
            assert missing == waiting.dropped_before
        assert waiting.frames <= most

    assert sum(len(chunk.frames) for chunk in taken) + waiting.dropped + waiting.frames == first
    assert waiting.longest <= most


def test_oldest_drops_as_few_as_needed_and_skip_all() -> None:
    for late, kept in (("oldest", [3, 6, 9]), ("skip", [9])):
        waiting = Waiting(9, late)  # type: ignore[arg-type]
        for first in (0, 3, 6, 9):
            put(waiting, first, 3)
        found = []
        while chunk := waiting.take():
            found.append(chunk.first)
        assert found == kept


def test_a_source_that_waits_has_room_below_the_limit() -> None:
    waiting = Waiting(4, "wait")
    put(waiting, 0, 3)
    assert waiting.has_room()
    put(waiting, 3, 3)
    assert not waiting.has_room()
    assert waiting.dropped == 0
    assert Waiting(1, "oldest").has_room()


@pytest.mark.parametrize("late", ["oldest", "skip"])
def test_a_chunk_larger_than_the_queue_is_not_lost(late: Late) -> None:
    waiting = Waiting(4, late)
    put(waiting, 0, 9)

    assert waiting.take() is not None
