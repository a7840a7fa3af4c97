"""The rows of a group: which are taken, and every call about one row. A backend adds how rows are pushed together."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from operator import index

from ..arrays import Answer, Array, Chunk
from ..errors import RowError
from ..streams import Group, documented

MOST_ROWS = 2**20


@documented(Group)
class Rows(ABC):
    """Numbered rows; each has a stream or is free.

    Args:
        count: Number of rows.

    Raises:
        RowError: `count` is below 1 or above `MOST_ROWS`.
    """

    def __init__(self, count: int) -> None:
        if not 1 <= index(count) <= MOST_ROWS:
            raise RowError(f"{count} streams in a group; wanted 1 to {MOST_ROWS}; make several groups for more")
        self._count = index(count)
        self._joined = dict.fromkeys(range(self._count))  # ascending

    @property
    def rows(self) -> int:
        return self._count

    @property
    def joined(self) -> tuple[int, ...]:
        return tuple(self._joined)

    def push(self, chunks: Chunk, rows: Sequence[int] | None = None, *, out: Array | None = None) -> Answer:
        return self._push(chunks, list(self._joined) if rows is None else self._named(rows), out)

    def join(self, row: int | None = None, state: Mapping[str, Array] | None = None) -> int:
        chosen = self._first_free() if row is None else self._there(row)
        if chosen in self._joined:
            raise RowError(f"row {chosen} has joined; leave it first, or reset it")
        self._open(chosen, state or {})
        self._joined = dict.fromkeys(sorted([*self._joined, chosen]))
        return chosen

    def leave(self, row: int) -> None:
        taken = self._taken(row)
        self._close(taken)
        del self._joined[taken]

    def fork(self, row: int) -> int:
        snapshot = self.snapshot(row)
        other = self.join()
        self.restore(other, snapshot)
        return other

    @abstractmethod
    def snapshot(self, row: int) -> bytes: ...

    @abstractmethod
    def restore(self, row: int, snapshot: bytes) -> None: ...

    @abstractmethod
    def _push(self, chunks: Chunk, rows: Sequence[int], out: Array | None) -> Answer:
        """Push one chunk per row; the rows are taken and each is named once."""

    @abstractmethod
    def _open(self, row: int, state: Mapping[str, Array]) -> None:
        """Start a new stream in a free row, from states given by name; if one is refused, the row stays free."""

    @abstractmethod
    def _close(self, row: int) -> None:
        """End the stream in a row and clear its state."""

    def _there(self, row: int) -> int:
        if not 0 <= index(row) < self._count:
            raise RowError(f"row {row} is not there; the group has rows 0 to {self._count - 1}")
        return index(row)

    def _taken(self, row: int) -> int:
        if self._there(row) not in self._joined:
            raise RowError(f"row {row} has not joined; join it first")
        return index(row)

    def _named(self, rows: Sequence[int]) -> list[int]:
        named = [self._taken(row) for row in rows]
        if len(set(named)) < len(named):
            twice = next(row for row in named if named.count(row) > 1)
            raise RowError(f"row {twice} is named more than once; push its chunks one after the other")
        return named

    def _first_free(self) -> int:
        free = next((row for row in range(self._count) if row not in self._joined), None)
        if free is None:
            raise RowError(f"all {self._count} rows have joined; leave one first, or make a larger group")
        return free
