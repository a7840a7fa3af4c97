"""Snapshots of streams on onnxruntime; docs/snapshot.md is the specification."""

import struct
from collections.abc import Callable, Mapping
from hashlib import blake2b
from math import prod
from typing import NamedTuple

import numpy as np

from ..arrays import Array
from ..errors import SnapshotError

MAGIC = b"TIDESNAP"
VERSION = 2
ONNXRUNTIME = 2
HEADER = struct.Struct("<8sII32sQ32sQQQ")
HASH, HASHED_FROM = 16, 48  # where the hash is, which is over all bytes behind it
MOST_COUNTED = 2**64 - 1  # a counter stops here
Shape = tuple[int, ...]
DAMAGED = "it is damaged, take it again"


class SnapshotHeader(NamedTuple):
    """The fields of a snapshot's header."""

    magic: bytes
    version: int
    backend: int
    hash: bytes
    size: int
    model: bytes
    frames: int
    refused: int
    finished: int


class Snapshot(NamedTuple):
    """A stream: its state by the contract's input names, its counters, and whether it was finished."""

    state: Mapping[str, Array]
    frames: int
    refused: int
    finished: bool = False


def hash_of(data: bytes | memoryview) -> bytes:
    """Return the hash of data, 32 bytes."""
    return blake2b(data, digest_size=32).digest()


def sealed(data: bytes) -> bytes:
    """Return a snapshot with the hash of its bytes in place."""
    return data[:HASH] + hash_of(memoryview(data)[HASHED_FROM:]) + data[HASHED_FROM:]


def pack(snapshot: Snapshot, model: bytes) -> bytes:
    """Return a snapshot as bytes; `model` is the hash of its model."""
    values = b"".join(np.asarray(v, "<f4").tobytes() for v in snapshot.state.values())
    size, counts = HEADER.size + len(values), (snapshot.frames, snapshot.refused, int(snapshot.finished))
    header = SnapshotHeader(MAGIC, VERSION, ONNXRUNTIME, b"", size, model, *counts)
    return sealed(HEADER.pack(*header) + values)


def unpack(data: bytes, model: bytes, shapes: Callable[..., Mapping[str, Shape]], most: int = MOST_COUNTED) -> Snapshot:
    """Return the snapshot in bytes from anywhere.

    Args:
        data: The bytes.
        model: The hash of the model that the snapshot must belong to.
        shapes: A function that returns the shapes of the state by frames consumed and `finished`. No memory is taken
            for a state before its size is that of the data.
        most: The most frames that a stream of the model may have.

    Raises:
        SnapshotError: The bytes are truncated, altered, of another model or backend, or hold a value that no state has.
    """
    if len(data) < HEADER.size:
        _check("size", len(data), _size(shapes(0, finished=False)))
    header = SnapshotHeader(*HEADER.unpack_from(data))
    _check("magic", header.magic, MAGIC)
    _check("version", header.version, VERSION, "it is of another version of the format, take it again")
    _check("size", len(data), header.size)
    _check("hash", header.hash.hex(), hash_of(memoryview(data)[HASHED_FROM:]).hex())
    _check("backend", header.backend, ONNXRUNTIME, "it was taken on another backend, restore it there")
    _check("model", header.model.hex(), model.hex(), "it was taken of another model, restore it there")
    _check("finished", min(header.finished, 2), min(header.finished, 1))
    _check("frames", header.frames, min(header.frames, most))
    like = shapes(header.frames, finished=bool(header.finished))
    _check("size", len(data), _size(like))
    return Snapshot(_arrays(data, like), header.frames, header.refused, bool(header.finished))


def _size(like: Mapping[str, Shape]) -> int:
    return HEADER.size + sum(4 * prod(shape) for shape in like.values())


def _arrays(data: bytes, like: Mapping[str, Shape]) -> dict[str, Array]:
    values = np.frombuffer(data, "<f4", offset=HEADER.size).astype(np.float32)
    bad = values[~(np.abs(values) <= 2.0**64)]
    if len(bad):
        raise SnapshotError(f"snapshot: state holds {bad[0]}, wanted finite values up to 2^64; stream unchanged")
    ends = np.cumsum([prod(shape) for shape in like.values()], dtype=int)
    parts = np.split(values, ends[:-1]) if len(ends) else []
    return {name: part.reshape(shape) for (name, shape), part in zip(like.items(), parts, strict=True)}


def _check(field: str, seen: object, wanted: object, way_out: str = DAMAGED) -> None:
    if seen != wanted:
        raise SnapshotError(f"snapshot: {field} is {seen!r}, wanted {wanted!r}; {way_out}; stream unchanged")
