"""One plan of a served model and the rows of its streams. After a swap, streams of several plans are in progress."""

from collections.abc import Sequence

import numpy as np

from ..arrays import Answer, Array, Chunk
from ..errors import ModelError, RefusedRowsError
from ..streams import SNAPSHOT_MODEL
from .served_model import ServedModel

TRIAL_FRAMES, TRIAL_CHUNK = 24, 7  # of the signal that a new plan is tried with


class Generation:
    """A plan with rows for streams; all rows stay joined: one that is free is reset.

    Args:
        served: The model.
        rows: Streams in progress at most.
        adopts: Whether streams of other plans go on over this one.

    Raises:
        UnsupportedError: The model looks ahead: its streams cannot be pushed together.
    """

    def __init__(self, served: ServedModel, rows: int, *, adopts: bool = False) -> None:
        self.served = served
        self.adopts = adopts
        self.group = served.model.streams(rows)
        self._rows = rows
        self._free = list(range(rows - 1, -1, -1))

    @property
    def streams(self) -> int:
        """Streams in progress on this plan."""
        return self._rows - len(self._free)

    def take(self) -> int:
        """Return a free row; there is one while the engine counts its streams."""
        return self._free.pop()

    def leave(self, row: int) -> None:
        """Free a row; what it carried is cleared at once."""
        self.group.reset(row)
        self._free.append(row)

    def push(self, chunks: Chunk, rows: Sequence[int]) -> tuple[Answer, dict[int, str]]:
        """Push a chunk of each row; return the answers, and why rows are refused."""
        try:
            return self.group.push(chunks, rows), {}
        except RefusedRowsError as error:
            return error.answers, dict(error.refused)

    def takes(self, snapshot: bytes, source: bytes, layout: bytes) -> bool:
        """Whether a stream may go on over this plan.

        It may, if its snapshot is of this plan; and if its state has the same layout, then also if streams of other
        plans may, or if both plans were compiled from one file, by different versions of tidegate.

        Args:
            snapshot: The snapshot of the stream.
            source: The hash of the file of its model.
            layout: The hash of the layout of its state.
        """
        served, same = self.served, snapshot[SNAPSHOT_MODEL] == self.served.model.hash
        return same or (layout == served.layout and (self.adopts or source == served.source))

    def restore(self, row: int, snapshot: bytes) -> None:
        """Go on in a row from the snapshot of a stream that may.

        Raises:
            SnapshotError: It is damaged.
        """
        model = self.served.model
        same = snapshot[SNAPSHOT_MODEL] == model.hash
        self.group.restore(row, snapshot if same else model.adopt(snapshot, model.layout))


def try_out(served: ServedModel) -> None:
    """Try a new plan before any stream runs on it: in chunks, beside another row, and after a snapshot.

    Raises:
        ModelError: An answer is refused or not finite, or the state is another than that of the signal as a whole.
        UnsupportedError: It looks ahead.
    """
    shape, rng = (TRIAL_FRAMES, *served.shape), np.random.default_rng(0)
    frames: Array = np.zeros(shape, np.int32) if served.ids else rng.standard_normal(shape).astype(np.float32)
    whole, tried = Generation(served, 1), Generation(served, 2)
    answers, refused = whole.push(served.chunks([frames.tobytes()], TRIAL_FRAMES), [0])
    (answer,) = served.payloads(answers, 1)
    if refused or not np.isfinite(np.frombuffer(answer, "<f4")).all():
        why = next(iter(refused.values()), "an answer is not finite")
        raise ModelError(f"{served.name}: a trial signal of {TRIAL_FRAMES} frames is not answered: {why}")
    for at in range(0, TRIAL_FRAMES, TRIAL_CHUNK):
        part = frames[at : at + TRIAL_CHUNK]
        tried.push(served.chunks([part[::-1].tobytes(), part.tobytes()], len(part)), [1, 0])
        tried.group.restore(0, tried.group.snapshot(0))
    if tried.group.snapshot(0) != whole.group.snapshot(0):
        raise ModelError(f"{served.name}: a trial signal in chunks, beside another stream, gives another state")
