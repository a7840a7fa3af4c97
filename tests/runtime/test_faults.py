"""Two faults at once: a stream and the file of its snapshot stay what they were."""

import errno
import itertools
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from fuzzing.plans import functions, late
from tidegate.runtime.backends.native import NativeModel, NativeStream
from tidegate.runtime.errors import ChunkError, SnapshotError
from tidegate.runtime.files import write_atomic
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program
from tools.streams import contract_of

FRAMES = np.random.default_rng(4).normal(0, 1, (12, 3)).astype(np.float32)


def made(program: Program) -> NativeModel:
    """Return a program as a model."""
    return NativeModel(compile_program(program, contract_of(program)))


@cache
def model() -> NativeModel:
    """Return a model that looks ahead, so that its streams hold frames back."""
    return made(late())


class World:
    """A stream in progress and the file of its snapshot."""

    def __init__(self, folder: Path) -> None:
        self.stream, self.file = model().stream(), folder / "stream.snapshot"
        self.stream.push(FRAMES[:5])
        self.kept = self.stream.snapshot()
        write_atomic(self.file, self.kept)

    def refused(self, place: float) -> None:
        """Push a chunk with a value that cannot be."""
        chunk = FRAMES.copy()
        chunk[7, 1] = place
        with pytest.raises(ChunkError, match="state unchanged"):
            self.stream.push(chunk)

    def restored(self, data: bytes, of: str) -> None:
        """Restore a snapshot that is damaged or of another model."""
        with pytest.raises(SnapshotError, match=of):
            self.stream.restore(data)

    def stored(self, fault: OSError | MemoryError) -> None:
        """Store a newer snapshot; the disk is full, or memory."""

        def fail(_: int) -> None:
            raise fault

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(type(fault)):
                write_atomic(self.file, self.stream.snapshot() + b"newer")


def other_model() -> bytes:
    """Return a snapshot of another model."""
    return made(functions()).stream().snapshot()


FAULTS: dict[str, Callable[[World], None]] = {
    "NaN": lambda world: world.refused(np.nan),
    "too loud": lambda world: world.refused(1e30),
    "no frames": lambda world: _wrong_shape(world.stream),
    "half a snapshot": lambda world: world.restored(world.kept[: len(world.kept) // 2], "size"),
    "a flipped bit": lambda world: world.restored(world.kept[:-1] + bytes([world.kept[-1] ^ 1]), "hash"),
    "another model": lambda world: world.restored(other_model(), "model"),
    "a full disk": lambda world: world.stored(OSError(errno.ENOSPC, "No space left on device")),
    "no memory": lambda world: world.stored(MemoryError()),
}


def _wrong_shape(stream: NativeStream) -> None:
    with pytest.raises(ChunkError):
        stream.push(np.zeros((2, 5), np.float32))


@pytest.mark.parametrize(("first", "second"), list(itertools.product(FAULTS, FAULTS)))
def test_row_44_two_faults_at_once_are_as_each_alone(tmp_path: Path, first: str, second: str) -> None:
    """The second fault comes while the first is handled, and again after it."""
    world, calm = World(tmp_path), model().stream()
    calm.push(FRAMES[:5])
    with suppress(ZeroDivisionError):
        try:
            FAULTS[first](world)
            raise ZeroDivisionError
        finally:
            FAULTS[second](world)
    FAULTS[second](world)
    assert world.file.read_bytes() == world.kept
    assert [path.name for path in tmp_path.iterdir()] == [world.file.name]
    mine, theirs = world.stream.push(FRAMES[5:]), calm.push(FRAMES[5:])
    assert isinstance(mine, dict)
    assert isinstance(theirs, dict)
    for name, values in theirs.items():
        np.testing.assert_array_equal(mine[name], values)
    world.stream.restore(world.file.read_bytes())
    assert world.stream.frames == 5
