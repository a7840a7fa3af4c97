"""Rows of a group: which are taken, and what is refused, on a backend that keeps bytes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from tidegate.runtime.arrays import Answer, Array, Chunk
from tidegate.runtime.backends.group_rows import Rows
from tidegate.runtime.errors import RowError


class Kept(Rows):
    """A group whose streams are the sums of what they were given."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.sums = dict.fromkeys(range(count), 0)

    def snapshot(self, row: int) -> bytes:
        return bytes([self.sums[self._taken(row)]])

    def restore(self, row: int, snapshot: bytes) -> None:
        self.sums[self._taken(row)] = snapshot[0]

    def _push(self, chunks: Chunk, rows: Sequence[int], out: Array | None) -> Answer:  # noqa: ARG002
        for row, chunk in zip(rows, np.asarray(chunks), strict=True):
            self.sums[row] += int(chunk)
        return np.array([self.sums[row] for row in rows])

    def _open(self, row: int, state: Mapping[str, Array]) -> None:  # noqa: ARG002
        self.sums[row] = 0

    def _close(self, row: int) -> None:
        self.sums[row] = 0


def test_all_rows_have_joined_at_first_and_a_push_is_for_all() -> None:
    group = Kept(3)
    assert (group.rows, group.joined) == (3, (0, 1, 2))
    np.testing.assert_array_equal(group.push(np.array([1, 2, 3])), [1, 2, 3])


def test_a_row_that_left_is_clear_and_the_first_free_one_joins_again() -> None:
    group = Kept(3)
    group.push(np.array([1, 2, 3]))
    group.leave(2)
    group.leave(1)
    assert list(group.joined) == [0]
    assert group.join() == 1
    assert list(group.joined) == [0, 1]
    np.testing.assert_array_equal(group.push(np.array([4, 5])), [5, 5])


def test_named_rows_are_pushed_in_their_order() -> None:
    group = Kept(3)
    np.testing.assert_array_equal(group.push(np.array([5, 7]), [2, 0]), [5, 7])
    assert group.sums == {0: 7, 1: 0, 2: 5}


def test_a_fork_continues_from_the_state_of_its_row() -> None:
    group = Kept(2)
    group.push(np.array([4, 9]))
    group.leave(1)
    assert group.fork(0) == 1
    assert group.sums == {0: 4, 1: 4}


def test_a_row_that_is_not_there_is_refused_by_number() -> None:
    group = Kept(2)
    group.leave(1)
    for call, message in (
        (lambda: group.leave(2), "row 2 is not there; the group has rows 0 to 1"),
        (lambda: group.leave(-1), "row -1 is not there"),
        (lambda: group.snapshot(1), "row 1 has not joined; join it first"),
        (lambda: group.join(0), "row 0 has joined; leave it first, or reset it"),
        (lambda: group.push(np.array([1, 1]), [0, 0]), "row 0 is named more than once"),
    ):
        with pytest.raises(RowError, match=message):
            call()


def test_no_row_is_free_when_all_have_joined() -> None:
    with pytest.raises(RowError, match="all 2 rows have joined; leave one first, or make a larger group"):
        Kept(2).fork(0)


@pytest.mark.parametrize("count", [0, -1, 2**20 + 1, 2**70])
def test_a_group_has_at_least_one_row_and_not_more_than_a_million(count: int) -> None:
    with pytest.raises(
        RowError, match=f"{count} streams in a group; wanted 1 to 1048576; make several groups for more"
    ):
        Kept(count)
