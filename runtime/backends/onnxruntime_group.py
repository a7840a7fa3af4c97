"""A group of streams on onnxruntime, pushed one after the other."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from ..arrays import Answer, Array, Chunk
from ..errors import BackendError, ChunkError, RefusedRowsError
from ..streams import Group, documented
from .describing import describe_group
from .group_rows import Rows
from .onnxruntime_stream import OnnxruntimeStream, RefusedChunkError


@documented(Group)
class OnnxruntimeGroup(Rows):
    """A group of streams that onnxruntime runs one after the other; see `runtime.streams.Group`.

    There is no common batch: in a batch the bits of a row would depend on the other rows. So a group is not faster than
    its streams here.

    Args:
        new: Returns a new stream of the model.
        rows: Number of rows.
    """

    def __init__(self, new: Callable[[], OnnxruntimeStream], rows: int) -> None:
        super().__init__(rows)
        self._new = new
        self._streams = [new() for _ in range(self.rows)]
        self._busy = threading.Lock()

    def __repr__(self) -> str:
        return describe_group(self, "onnxruntime")

    def reset(self, row: int) -> None:
        with self._turn():
            self._streams[self._taken(row)].reset()

    def snapshot(self, row: int) -> bytes:
        with self._turn():
            return self._streams[self._taken(row)].snapshot()

    def restore(self, row: int, snapshot: bytes) -> None:
        with self._turn():
            self._streams[self._taken(row)].restore(snapshot)

    def frames(self, row: int) -> int:
        with self._turn():
            return self._streams[self._taken(row)].frames

    def refused(self, row: int) -> int:
        with self._turn():
            return self._streams[self._taken(row)].refused

    def state(self, row: int) -> dict[str, Array]:
        with self._turn():
            return self._streams[self._taken(row)].state()

    def set_state(self, row: int, state: Mapping[str, Array]) -> None:
        with self._turn():
            self._streams[self._taken(row)].set_state(state)

    def _push(self, chunks: Chunk, rows: Sequence[int], out: Array | None) -> Answer:
        chunks = np.asarray(self._streams[0].side_by_side(chunks, 2))
        if out is not None and np.may_share_memory(chunks, out):
            chunks = chunks.copy()  # the answer of a row would overwrite the chunk of a later row
        if chunks.ndim == 0 or len(chunks) != len(rows):
            raise ChunkError(f"chunks has shape {chunks.shape}, wanted a chunk for each of {len(rows)} rows")
        if out is not None and (out.ndim == 0 or len(out) != len(rows)):
            raise ChunkError(f"out has shape {out.shape}, wanted an answer for each of {len(rows)} rows")
        with self._turn():
            answers, refused = self._push_each(chunks, rows, out)
        joined = self._joined_answers(answers, chunks, out)
        if refused:
            raise RefusedRowsError(joined, refused, len(rows))
        return joined

    def _push_each(
        self, chunks: Array, rows: Sequence[int], out: Array | None
    ) -> tuple[list[Answer | None], dict[int, str]]:
        """Push row after row. All chunks have one shape and type, so a wrong one is found before any state changes."""
        answers: list[Answer | None] = []
        refused: dict[int, str] = {}
        for place, row in enumerate(rows):
            try:
                into = None if out is None else out[place]
                answers.append(self._streams[row].push_array(chunks[place], out=into))
            except RefusedChunkError as error:
                refused[row] = str(error)
                answers.append(None)
        return answers, refused

    def _joined_answers(self, answers: Sequence[Answer | None], chunks: Array, out: Array | None) -> Answer:
        """Return the answers of all rows; rows without an answer get NaN."""
        like = next((answer for answer in answers if answer is not None), None)
        if like is None:
            like = self._new().push_array(np.zeros_like(chunks, shape=chunks.shape[1:]))
        if isinstance(like, dict):
            rows = [answer for answer in answers if answer is None or isinstance(answer, dict)]
            return {n: _stacked([a[n] if a else None for a in rows], values) for n, values in like.items()}
        stacked = _stacked([a if isinstance(a, np.ndarray) else None for a in answers], like)
        if out is None:
            return stacked
        out[...] = stacked
        return out

    def _open(self, row: int, state: Mapping[str, Array]) -> None:
        with self._turn():
            self._streams[row].reset()
            self._streams[row].set_state(state)

    def _close(self, row: int) -> None:
        self._open(row, {})

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Reserve the group for one caller; a second caller gets an error, never a wrong answer."""
        if not self._busy.acquire(blocking=False):
            raise BackendError("group is in use by another thread; give each thread a group of its own")
        try:
            yield
        finally:
            self._busy.release()


def _stacked(answers: Sequence[Array | None], like: Array) -> Array:
    rows = [np.full_like(like, np.nan) if answer is None else answer for answer in answers]
    return np.array(rows, like.dtype).reshape(len(rows), *like.shape)
